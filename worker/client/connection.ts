import { setTimeout as sleep } from 'node:timers/promises';
import WebSocket from 'ws';
import { concatBytes, fromHex, toHex } from '#shared/crypto/bytes.ts';
import { digest } from '#shared/crypto/digest.ts';
import { type KeyPair, sign } from '#shared/crypto/keys.ts';
import { PoolError } from '#shared/errors/pool-error.ts';
import type { Capabilities } from '#shared/protocol/capabilities.ts';
import { proveOwner } from '#shared/protocol/owner.ts';
import {
  type FromWorker,
  MAX_WORKER_MESSAGE_BYTES,
  parseMessage,
  type Role,
  type ToWorker,
  toWorkerSchema,
  versionsText,
  WORKER_PROTOCOL_VERSION,
} from '#shared/protocol/worker.ts';
import { type Backoff, backoffMs, RECONNECT } from '#worker/client/backoff.ts';
import { webSocketUrl } from '#worker/client/urls.ts';
import type { Log } from '#worker/log.ts';

const HANDSHAKE_TIMEOUT_MS = 10_000;
/** No frame and no pong from the coordinator for so long: the line is dead, though nobody closed it. */
const SILENCE_MS = 10_000;
/** Time for the goodbye to leave and the close to be answered. */
const GOODBYE_MS = 1_000;
/** A coordinator that stops reading must not fill this process's memory. */
const MAX_BUFFERED_BYTES = 32 * 1024 * 1024;
const DRAIN_POLL_MS = 50;
/** Refusals that another attempt will not change. */
const FINAL: readonly string[] = ['UNAUTHORISED', 'PROTOCOL_VERSION', 'STATE'];
/** Close code for a key that connected a second time: two workers would take the line from each other for ever. */
const SAME_KEY = 4409;

/** What the worker says of itself when it connects. */
export interface WorkerDescription {
  readonly name: string;
  readonly software: string;
  readonly roles: readonly Role[];
  readonly backend: string;
  readonly threads: number;
  readonly capabilities?: Capabilities;
}

/** One accepted connection. */
export interface Session {
  readonly networkId: Uint8Array;
  /** Opens payloads that are not yet on the chain. */
  readonly bearer: string;
  readonly address: string;
  /** Address that the pool pays. */
  readonly owner?: string;
}

export type Work = Exclude<ToWorker, { type: 'challenge' | 'welcome' | 'error' }>;
export type WorkerLoad = Omit<Extract<FromWorker, { type: 'heartbeat' }>, 'type'>;

export interface ConnectionHandlers {
  /** Things begun that are worth finishing before a goodbye. */
  readonly unfinished?: number;
  connected(session: Session): void;
  /** Only between `connected` and `disconnected`. */
  message(message: Work): void;
  /** Every lease of the session has gone back. */
  disconnected(): void;
}

export interface ConnectionOptions {
  /** Of one pool: the next is tried where one does not answer. */
  readonly coordinators: readonly string[];
  readonly worker: WorkerDescription;
  readonly backoff?: Backoff;
  /** After an abort, what was begun may take this long. */
  readonly drainMs?: number;
}

export interface ConnectionDependencies {
  readonly key: KeyPair;
  /** Signs that this worker works for it. */
  readonly owner?: KeyPair | undefined;
  readonly handlers: ConnectionHandlers;
  readonly log: Log;
  /** Enrolment token; read anew for every attempt. */
  token(): Promise<string | undefined>;
  load(): WorkerLoad;
  random(): number;
}

/** The worker's one line to the coordinator. PROTOCOL §11. */
export class WorkerConnection {
  readonly #options: ConnectionOptions;
  readonly #deps: ConnectionDependencies;
  #line: Line | undefined;

  constructor(options: ConnectionOptions, deps: ConnectionDependencies) {
    this.#options = options;
    this.#deps = deps;
  }

  /** False where there is no session: the coordinator has given the lease to another by then. */
  send(message: FromWorker): boolean {
    return this.#line?.send(message) ?? false;
  }

  /**
   * Connects, and connects again whenever the line breaks: first to the coordinator that it had, then to the others in
   * turn, waiting longer after each round of all. After an abort it finishes what it holds, says goodbye and resolves.
   * Rejects where the coordinator refuses this worker for good.
   */
  async run(signal: AbortSignal): Promise<void> {
    const { log, random } = this.#deps;
    const { coordinators, backoff = RECONNECT } = this.#options;
    let index = 0;
    for (let attempt = 0; !signal.aborted; attempt++) {
      const { welcomed, error } = await this.#connectOnce(coordinators[index] as string, signal);
      if (signal.aborted) return;
      if (error && FINAL.includes(error.code)) throw error;
      if (welcomed) attempt = 0;
      else index = (index + 1) % coordinators.length;
      const waitMs = backoffMs(Math.floor(attempt / coordinators.length), backoff, random);
      log.warn(`${error?.message ?? 'the connection ended'}; connecting again`, {
        inSeconds: Math.round(waitMs / 100) / 10,
      });
      await sleep(waitMs, undefined, { signal }).catch(() => {});
    }
  }

  async #connectOnce(coordinator: string, signal: AbortSignal): Promise<LineEnd> {
    const line = new Line(
      { coordinator, worker: this.#options.worker },
      this.#deps,
      await this.#deps.token(),
    );
    this.#line = line;
    const leave = () => void this.#leave(line);
    signal.addEventListener('abort', leave, { once: true });
    if (signal.aborted) leave();
    try {
      return await line.ended;
    } finally {
      this.#line = undefined;
      signal.removeEventListener('abort', leave);
    }
  }

  /** Gets nothing new, finishes what it holds if that takes no longer than it may, and says goodbye. */
  async #leave(line: Line): Promise<void> {
    const { handlers, log } = this.#deps;
    const until = performance.now() + (this.#options.drainMs ?? 0);
    const left = () => handlers.unfinished ?? 0;
    if (left() > 0 && line.send({ type: 'drain' })) log.info('finishing what was begun', { count: left() });
    while (left() > 0 && performance.now() < until) await sleep(DRAIN_POLL_MS);
    if (left() > 0) log.warn('what is not finished is given back', { count: left() });
    line.goodbye();
  }
}

interface LineEnd {
  readonly welcomed: boolean;
  /** Why it ended, unless both sides said goodbye. */
  readonly error: PoolError | undefined;
}

/** One WebSocket from its opening to its end: challenge → hello, proof → welcome → work. */
class Line {
  readonly ended: Promise<LineEnd>;
  readonly #deps: ConnectionDependencies;
  readonly #worker: WorkerDescription;
  readonly #token: string | undefined;
  readonly #socket: WebSocket;
  #networkId: Uint8Array | undefined;
  #welcomed = false;
  #open = false;
  #error: PoolError | undefined;
  #heartbeat: NodeJS.Timeout | undefined;
  #heardAt = performance.now();

  constructor(
    options: { readonly coordinator: string; readonly worker: WorkerDescription },
    deps: ConnectionDependencies,
    token: string | undefined,
  ) {
    this.#deps = deps;
    this.#worker = options.worker;
    this.#token = token;
    const url = webSocketUrl(options.coordinator, 'ws/worker');
    this.#socket = new WebSocket(url, {
      perMessageDeflate: false,
      maxPayload: MAX_WORKER_MESSAGE_BYTES,
      handshakeTimeout: HANDSHAKE_TIMEOUT_MS,
    });
    this.#socket.on('message', (data, binary) => this.#heard(() => this.#receive(data, binary)));
    this.#socket.on('pong', () => this.#heard(() => {}));
    this.#socket.on('error', (error) => {
      this.#error ??= new PoolError('UNAVAILABLE', `${url}: the coordinator does not answer (${why(error)})`);
    });
    this.ended = new Promise((resolve) => {
      this.#socket.on('close', (code, reason) => resolve(this.#close(code, reason.toString())));
    });
  }

  send(message: FromWorker): boolean {
    if (!this.#open) return false;
    this.#write(message);
    return true;
  }

  /** Says that the leases are free, then closes. */
  goodbye(): void {
    if (this.#open) this.#write({ type: 'goodbye' });
    if (this.#socket.readyState === WebSocket.CONNECTING) this.#socket.terminate();
    else this.#socket.close(1000);
    setTimeout(() => this.#socket.terminate(), GOODBYE_MS).unref();
  }

  #write(message: FromWorker): void {
    if (this.#socket.readyState !== WebSocket.OPEN) return;
    if (this.#socket.bufferedAmount > MAX_BUFFERED_BYTES) this.#socket.terminate();
    else this.#socket.send(JSON.stringify(message));
  }

  #heard(then: () => void): void {
    this.#heardAt = performance.now();
    try {
      then();
    } catch (error) {
      this.#error = PoolError.from(error);
      this.#socket.close(1002);
    }
  }

  #receive(data: WebSocket.RawData, binary: boolean): void {
    if (binary) throw new PoolError('MESSAGE', 'expected text from the coordinator, got a binary message');
    const message = parseMessage(toWorkerSchema, data.toString());
    if (message.type === 'challenge') this.#answer(message);
    else if (message.type === 'welcome') this.#begin(message);
    else if (message.type === 'error') this.#refused(PoolError.fromObject(message.error));
    else if (this.#open) this.#deps.handlers.message(message);
    else throw new PoolError('MESSAGE', `expected a welcome first, got ${message.type}`);
  }

  #answer(message: Extract<ToWorker, { type: 'challenge' }>): void {
    if (message.protocol !== WORKER_PROTOCOL_VERSION)
      throw new PoolError(
        'PROTOCOL_VERSION',
        versionsText({ pool: message.protocol, worker: WORKER_PROTOCOL_VERSION }),
      );
    const { publicKey, secretKey } = this.#deps.key;
    const { owner } = this.#deps;
    this.#networkId = fromHex(message.network, 32);
    this.#write({
      type: 'hello',
      protocol: WORKER_PROTOCOL_VERSION,
      publicKey: toHex(publicKey),
      ...(this.#token !== undefined && { token: this.#token }),
      ...this.#worker,
      roles: [...this.#worker.roles],
      ...(owner && { owner: proveOwner(this.#networkId, publicKey, owner) }),
    });
    const proven = concatBytes(fromHex(message.challenge, 32), publicKey);
    const signature = sign(digest('challenge', this.#networkId, proven), secretKey);
    this.#write({ type: 'proof', signature: toHex(signature) });
  }

  /** A second welcome tells that the pool has forgotten the session, though the line held: all begins anew. */
  #begin(message: Extract<ToWorker, { type: 'welcome' }>): void {
    if (!this.#networkId) throw new PoolError('MESSAGE', 'a welcome was not expected at this point');
    if (this.#open) this.#deps.handlers.disconnected();
    clearInterval(this.#heartbeat);
    this.#welcomed = true;
    this.#open = true;
    this.#heartbeat = setInterval(() => this.#beat(), message.heartbeatMs);
    const { session: bearer, address, owner = address } = message;
    this.#deps.handlers.connected({ networkId: this.#networkId, bearer, address, owner });
  }

  #beat(): void {
    if (performance.now() - this.#heardAt > SILENCE_MS) {
      this.#error ??= new PoolError('UNAVAILABLE', `nothing heard from the coordinator for ${SILENCE_MS} ms`);
      this.#socket.terminate();
      return;
    }
    this.#write({ type: 'heartbeat', ...this.#deps.load() });
    if (this.#socket.readyState === WebSocket.OPEN) this.#socket.ping();
  }

  /** Before the welcome it is the reason why there is none; afterwards it is about one message. */
  #refused(error: PoolError): void {
    if (!this.#open || error.code === 'UNAUTHORISED') this.#error = error;
    else this.#deps.log.warn(`the coordinator refuses: ${error.message}`, { code: error.code });
  }

  #close(code: number, reason: string): LineEnd {
    if (code === SAME_KEY)
      this.#error = new PoolError('STATE', 'another worker uses the same key: give each its own --data-dir');
    if (code >= 4000) this.#error ??= new PoolError('UNAVAILABLE', `the coordinator ended it: ${reason}`);
    clearInterval(this.#heartbeat);
    if (this.#open) this.#deps.handlers.disconnected();
    this.#open = false;
    return { welcomed: this.#welcomed, error: this.#error };
  }
}

function why(error: Error): string {
  return (error as NodeJS.ErrnoException).code ?? error.message;
}
