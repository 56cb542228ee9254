import WebSocket from 'ws';
import { must } from '#shared/errors/pool-error.ts';
import { parseMessage, toWorkerSchema, WORKER_PROTOCOL_VERSION } from '#shared/protocol/worker.ts';
import { httpUrl, webSocketUrl } from '#worker/client/urls.ts';
import { type Finding, findings } from '#worker/doctor/finding.ts';

const TIMEOUT_MS = 10_000;
/** The first call also looks up the name and opens the connection. */
const CALLS = 4;
/** Signatures of transfers and claims carry times; `Date` counts whole seconds. */
const MOST_SKEW_MS = 10_000;

/**
 * Whether the coordinator answers, how fast, which time it has, and whether a worker could talk to it. Throws
 * OPTION where its address is none.
 */
export async function checkPool(
  coordinator: string,
  { now, signal }: { now: () => number; signal: AbortSignal },
): Promise<Finding[]> {
  const network = findings('network');
  const url = httpUrl(coordinator, 'healthz');
  try {
    const { latencyMs, skewMs } = await call(url, now, signal);
    const answered = network.fine(`${coordinator} answers in ${latencyMs.toFixed(1)} ms`);
    return [answered, clock(skewMs), await checkWebSocket(coordinator)];
  } catch (error) {
    signal.throwIfAborted();
    const why = reason(error);
    return [network.fault(`${coordinator} does not answer: ${why}`, mendOf(why))];
  }
}

/** Reason → what to do, for the common ones. */
const MENDS: readonly (readonly [reason: RegExp, mend: string])[] = [
  [
    /ENOTFOUND|EAI_AGAIN/,
    'no such name: check the spelling of --coordinator, and that this machine has a network',
  ],
  [/ECONNREFUSED/, 'nobody listens there: check the port of --coordinator, and that the pool runs'],
  [
    /CERT|SIGNATURE|ISSUER|ALTNAME/,
    'its certificate is not valid here: check the clock of this machine and the name in --coordinator; for a certificate of your own set NODE_EXTRA_CA_CERTS',
  ],
  [/SSL|WRONG_VERSION/, 'it speaks no TLS there: use http:// or ws:// in --coordinator, or another port'],
  [/status 404/, 'something else than a pool answers there: check the address'],
];

function mendOf(why: string): string {
  const known = MENDS.find(([pattern]) => pattern.test(why))?.[1];
  return known ?? 'check the address (--coordinator), and whether a firewall lets this machine out to it';
}

async function call(url: URL, now: () => number, signal: AbortSignal) {
  let latencyMs = Number.POSITIVE_INFINITY;
  let skewMs: number | undefined;
  for (let i = 0; i < CALLS; i++) {
    const began = performance.now();
    const response = await fetch(url, { signal: AbortSignal.any([signal, AbortSignal.timeout(TIMEOUT_MS)]) });
    await response.arrayBuffer();
    must(response.ok, 'UNAVAILABLE', () => `status ${response.status}`);
    latencyMs = Math.min(latencyMs, performance.now() - began);
    const theirs = Date.parse(response.headers.get('date') ?? '');
    // A whole second, cut off: on average half a second ago.
    if (Number.isFinite(theirs)) skewMs = now() - (theirs + 500);
  }
  return { latencyMs, skewMs };
}

function clock(skewMs: number | undefined): Finding {
  const { fine, note, fault } = findings('clock');
  if (skewMs === undefined) return note('the coordinator does not tell the time');
  const seconds = (Math.abs(skewMs) / 1000).toFixed(0);
  if (Math.abs(skewMs) <= MOST_SKEW_MS) return fine('agrees with that of the coordinator');
  const found = `${seconds} s ${skewMs > 0 ? 'ahead of' : 'behind'} the coordinator`;
  return fault(found, 'set the clock by the network: timedatectl set-ntp true');
}

/** Reads the challenge with which every line begins, and leaves again. */
async function checkWebSocket(coordinator: string): Promise<Finding> {
  const { fine, fault } = findings('websocket');
  try {
    const protocol = await firstMessage(webSocketUrl(coordinator, 'ws/worker'));
    if (protocol === WORKER_PROTOCOL_VERSION) return fine(`version ${protocol} of the protocol`);
    const older = protocol > WORKER_PROTOCOL_VERSION ? 'this program' : 'the pool';
    const versions = `the coordinator speaks version ${protocol} of the protocol, this worker ${WORKER_PROTOCOL_VERSION}`;
    return fault(versions, `bring ${older} up to date`);
  } catch (error) {
    return fault(
      `no WebSocket: ${reason(error)}`,
      'a proxy between here and the coordinator must pass on the headers Upgrade and Connection',
    );
  }
}

function firstMessage(url: string): Promise<number> {
  const socket = new WebSocket(url, { handshakeTimeout: TIMEOUT_MS, perMessageDeflate: false });
  return new Promise<number>((resolve, reject) => {
    const late = setTimeout(() => reject(new Error(`nothing came in ${TIMEOUT_MS} ms`)), TIMEOUT_MS);
    socket.once('error', reject);
    socket.once('close', () => {
      clearTimeout(late);
      reject(new Error('it was closed'));
    });
    socket.once('message', (data) => {
      try {
        const message = parseMessage(toWorkerSchema, String(data));
        must(message.type === 'challenge', 'MESSAGE', () => `expected a challenge, got ${message.type}`);
        resolve(message.protocol);
      } catch (error) {
        reject(error);
      }
    });
  }).finally(() => socket.terminate());
}

/** `fetch` hides the reason in the cause. */
function reason(error: unknown): string {
  const { cause, message } = error as { cause?: NodeJS.ErrnoException; message: string };
  return cause?.code ?? cause?.message ?? (error as NodeJS.ErrnoException).code ?? message;
}
