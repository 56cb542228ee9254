import {
  type IncomingMessage,
  type RequestListener,
  request as requestHttp,
  type ServerResponse,
} from 'node:http';
import { request as requestHttps } from 'node:https';
import { pipeline } from 'node:stream/promises';
import type { Readiness } from '#shared/api/schemas.ts';
import { must, PoolError } from '#shared/errors/pool-error.ts';

/** A core that does not begin to answer by then is not there. */
const ANSWER_MS = 10_000;
/** Requests of one client, and of all, that are answered at once. */
const MOST_OF_ONE = 100;
const MOST_OF_ALL = 1_000;
/** What a reading request says that the answer depends on. */
const PASSED = ['accept', 'authorization', 'if-none-match', 'range'] as const;
const RETURNED = [
  ...['accept-ranges', 'cache-control', 'content-length', 'content-range', 'content-type', 'etag'],
  ...['retry-after', 'content-security-policy', 'x-content-type-options'],
] as const;

export interface ReadProxyOptions {
  readonly core: URL;
  readonly readiness: () => Promise<Readiness>;
  /** Where a request comes from. */
  readonly addressOf: (request: IncomingMessage) => string;
}

/**
 * What a further gateway answers over HTTP: whether it is there and linked, and everything else that can be read by
 * asking the core, streamed, in constant memory. Writing is the core's business alone.
 */
export function readProxy(options: ReadProxyOptions): RequestListener {
  const reads = new Reads(options.addressOf);
  return (request, response) => {
    answer(request, response, { ...options, reads }).catch((raw: unknown) => {
      if (response.headersSent) return void response.destroy();
      const error = raw instanceof PoolError ? raw : unreachable(raw);
      response.writeHead(error.status, { 'content-type': 'application/json', 'retry-after': '2' });
      response.end(JSON.stringify({ error: error.toObject() }));
    });
  };
}

async function answer(
  request: IncomingMessage,
  response: ServerResponse,
  { core, readiness, reads }: ReadProxyOptions & { readonly reads: Reads },
): Promise<void> {
  const [path = '/'] = (request.url ?? '/').split('?');
  if (path === '/healthz') return json(response, 200, { ok: true });
  if (path === '/readyz') {
    const found = await readiness();
    return json(response, found.ready ? 200 : 503, found);
  }
  if (request.method !== 'GET' && request.method !== 'HEAD')
    throw new PoolError('METHOD_NOT_ALLOWED', 'a gateway only reads: send this to the coordinator');
  // The core's figures would be taken for the gateway's.
  if (path === '/metrics') throw new PoolError('NOT_FOUND', 'a gateway has no metrics: ask the coordinator');
  const end = reads.begin(request);
  try {
    const found = await ask(core, request);
    response.writeHead(found.statusCode ?? 502, pick(found.headers, RETURNED));
    // A reader that goes away ends the pipe: that is its right, and nobody's fault.
    await pipeline(found, response).catch(() => response.destroy());
  } finally {
    end();
  }
}

/** Reads under way: the core sees all of them come from one address, of which it takes so many at once and no more. */
class Reads {
  readonly #addressOf: ReadProxyOptions['addressOf'];
  readonly #open = new Map<string, number>();
  #count = 0;

  constructor(addressOf: ReadProxyOptions['addressOf']) {
    this.#addressOf = addressOf;
  }

  /** Returns its end. TOO_MANY_REQUESTS where the client, or all of them, have too many. */
  begin(request: IncomingMessage): () => void {
    const address = this.#addressOf(request);
    const open = this.#open.get(address) ?? 0;
    must(open < MOST_OF_ONE, 'TOO_MANY_REQUESTS', 'too many requests at once from this address');
    must(this.#count < MOST_OF_ALL, 'TOO_MANY_REQUESTS', 'too many requests at once at this gateway');
    this.#open.set(address, open + 1);
    this.#count += 1;
    return () => {
      this.#count -= 1;
      const left = (this.#open.get(address) ?? 1) - 1;
      if (left > 0) this.#open.set(address, left);
      else this.#open.delete(address);
    };
  }
}

function ask(core: URL, request: IncomingMessage): Promise<IncomingMessage> {
  const send = core.protocol === 'https:' ? requestHttps : requestHttp;
  // Only the path of what is asked for: an absolute URL would name another server.
  const { pathname, search } = new URL(request.url ?? '/', 'http://path.invalid');
  const url = new URL(core.pathname.replace(/\/$/, '') + pathname + search, core);
  return new Promise((resolve, reject) => {
    const asked = send(url, { method: request.method ?? 'GET', headers: pick(request.headers, PASSED) });
    asked.setTimeout(ANSWER_MS, () => asked.destroy(new Error(`no answer in ${ANSWER_MS} ms`)));
    asked.once('response', resolve);
    asked.once('error', reject);
    request.once('close', () => {
      if (!request.complete) asked.destroy();
    });
    asked.end();
  });
}

const unreachable = (cause: unknown): PoolError =>
  new PoolError('UNAVAILABLE', 'the coordinator does not answer', {}, { cause });

function json(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
}

function pick(headers: IncomingMessage['headers'], names: readonly string[]): Record<string, string> {
  const kept: Record<string, string> = {};
  for (const name of names) {
    const value = headers[name];
    if (typeof value === 'string') kept[name] = value;
  }
  return kept;
}
