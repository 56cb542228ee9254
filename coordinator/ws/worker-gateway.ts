import { randomBytes } from 'node:crypto';
import type { RawData, WebSocket } from 'ws';
import { type Hello, WorkerSession } from '#coordinator/dispatch/worker-session.ts';
import type { Workers } from '#coordinator/dispatch/workers.ts';
import { type Endpoint, sendBounded } from '#coordinator/ws/server.ts';
import { concatBytes, fromHex, toHex } from '#shared/crypto/bytes.ts';
import { digest } from '#shared/crypto/digest.ts';
import { verifySignature } from '#shared/crypto/keys.ts';
import type { ErrorCode } from '#shared/errors/catalogue.ts';
import { must, PoolError } from '#shared/errors/pool-error.ts';
import {
  type FromWorker,
  fromWorkerSchema,
  HEARTBEAT_MS,
  MAX_WORKER_MESSAGE_BYTES,
  parseMessage,
  type ToWorker,
  versionsText,
  WORKER_PROTOCOL_VERSION,
  WORKER_SILENCE_MS,
} from '#shared/protocol/worker.ts';

export interface GatewayParts {
  readonly workers: Workers;
  readonly networkId: Uint8Array;
  readonly now: () => number;
  readonly onFault: (message: string, error: unknown) => void;
  readonly onHeartbeat: (session: WorkerSession) => void;
}

const HANDSHAKE_MS = 10_000;
const MAX_BUFFERED_BYTES = 4 * 1024 * 1024;
/** Messages a worker may send at once and per second; heartbeats, ranges and progress stay far below. */
const BURST = 400;
const PER_SECOND = 200;
/** Points of refused messages at which a worker is shut out for a while; one point is forgiven at a time. */
const MAX_FAULTS = 20;
const FORGIVE_MS = 10_000;
const BAN_MS = 60_000;
/** What no honest worker sends weighs more than what a late or clumsy one may. */
const LIE_POINTS = 7;
const LIES: ReadonlySet<ErrorCode> = new Set<ErrorCode>(['ATTESTATION', 'WORK_LOW', 'WORK_RANGE']);

/**
 * `/ws/worker`: the gateway. A worker proves its key by signing a challenge, is enrolled by the token, and is then a
 * session that the stages hand leases to. Workers never see Redis. PROTOCOL §11.
 */
export class WorkerGateway implements Endpoint {
  readonly path = '/ws/worker';
  readonly maxPayloadBytes = MAX_WORKER_MESSAGE_BYTES;
  readonly maxConnections = 5_000;
  readonly sameOriginOnly = true;
  readonly #parts: GatewayParts;
  readonly #bannedUntilMs = new Map<string, number>();

  constructor(parts: GatewayParts) {
    this.#parts = parts;
  }

  accept(socket: WebSocket): void {
    new GatewayConnection(socket, this.#parts, this.#bannedUntilMs);
  }
}

class GatewayConnection {
  readonly #socket: WebSocket;
  readonly #parts: GatewayParts;
  readonly #bannedUntilMs: Map<string, number>;
  readonly #challenge = randomBytes(32);
  #hello: Hello | undefined;
  #session: WorkerSession | undefined;
  #faults = 0;
  #allowance = BURST;
  #silence: NodeJS.Timeout;
  readonly #refill: NodeJS.Timeout;
  readonly #forgive: NodeJS.Timeout;
  /** Messages are handled one after the other. */
  #queue: Promise<void> = Promise.resolve();

  constructor(socket: WebSocket, parts: GatewayParts, bannedUntilMs: Map<string, number>) {
    this.#socket = socket;
    this.#parts = parts;
    this.#bannedUntilMs = bannedUntilMs;
    this.#silence = setTimeout(() => socket.close(4408, 'the handshake took too long'), HANDSHAKE_MS);
    this.#refill = setInterval(() => {
      this.#allowance = Math.min(BURST, this.#allowance + PER_SECOND);
    }, 1_000);
    this.#forgive = setInterval(() => {
      this.#faults = Math.max(0, this.#faults - 1);
    }, FORGIVE_MS);
    socket.on('message', (data: RawData, isBinary: boolean) => this.#onFrame(data, isBinary));
    socket.on('close', () => this.#onClose());
    this.#send({
      type: 'challenge',
      challenge: toHex(this.#challenge),
      network: toHex(parts.networkId),
      protocol: WORKER_PROTOCOL_VERSION,
    });
  }

  #onFrame(data: RawData, isBinary: boolean): void {
    if (isBinary) return this.#socket.close(1003, 'expected text');
    if (--this.#allowance < 0) return this.#ban('too many messages');
    const text = String(data);
    this.#queue = this.#queue.then(() => this.#handle(text)).catch((error) => this.#refuse(error));
  }

  async #handle(text: string): Promise<void> {
    if (this.#socket.readyState !== this.#socket.OPEN) return;
    const message = parseMessage(fromWorkerSchema, text);
    this.#heard();
    if (!this.#session) return this.#handshake(message);
    if (message.type === 'heartbeat') {
      this.#session.hashesPerSecond = message.hashesPerSecond;
      this.#session.tokensPerSecond = message.tokensPerSecond;
      this.#session.rssBytes = message.rssBytes;
      return this.#parts.onHeartbeat(this.#session);
    }
    if (message.type === 'goodbye') {
      this.#parts.workers.leave(this.#session, true);
      return this.#socket.close(1000, 'goodbye');
    }
    this.#parts.workers.deliver(this.#session, message);
  }

  async #handshake(message: FromWorker): Promise<void> {
    if (message.type === 'hello' && !this.#hello) {
      must(message.protocol === WORKER_PROTOCOL_VERSION, 'PROTOCOL_VERSION', () =>
        versionsText({ pool: WORKER_PROTOCOL_VERSION, worker: message.protocol }),
      );
      const banned = this.#bannedUntilMs.get(message.publicKey) ?? 0;
      must(banned <= this.#parts.now(), 'BANNED', 'this worker broke the rules; try again in a minute');
      this.#hello = message;
      return;
    }
    const hello = this.#hello;
    must(hello && message.type === 'proof', 'MESSAGE', `expected hello, then proof, got ${message.type}`);
    const publicKey = fromHex(hello.publicKey, 33);
    const signed = digest('challenge', this.#parts.networkId, concatBytes(this.#challenge, publicKey));
    must(
      verifySignature(fromHex(message.signature, 64), signed, publicKey),
      'UNAUTHORISED',
      'the challenge is not signed by this key',
    );
    const nowMs = this.#parts.now();
    const { name, token, owner } = hello;
    const admitted = await this.#parts.workers.admit({ publicKey, name, token, owner });
    if (this.#socket.readyState !== this.#socket.OPEN) return;
    const session = new WorkerSession(
      { send: (m) => this.#send(m), close: (code, reason) => this.#socket.close(code, reason) },
      { hello, publicKey, bearer: randomBytes(24).toString('hex'), nowMs, ...admitted },
    );
    this.#session = session;
    this.#send({
      type: 'welcome',
      session: session.bearer,
      heartbeatMs: HEARTBEAT_MS,
      address: session.address,
      owner: session.owner,
    });
    this.#parts.workers.join(session);
  }

  /** A silent worker is lost: its leases go back while it may still be frozen. */
  #heard(): void {
    if (this.#session) this.#session.lastSeenMs = this.#parts.now();
    clearTimeout(this.#silence);
    this.#silence = setTimeout(
      () => this.#socket.terminate(),
      this.#session ? WORKER_SILENCE_MS : HANDSHAKE_MS,
    );
  }

  #refuse(raw: unknown): void {
    const error = PoolError.from(raw);
    if (error.code === 'INTERNAL') this.#parts.onFault('a worker message could not be handled', raw);
    this.#send({ type: 'error', error: error.toObject() });
    if (!this.#session) this.#socket.close(4401, error.code);
    else {
      this.#faults += LIES.has(error.code) ? LIE_POINTS : 1;
      if (this.#faults >= MAX_FAULTS) this.#ban('too many refused messages');
    }
  }

  #ban(reason: string): void {
    // Only a key that was proven: nobody gets another's key shut out.
    if (this.#session) this.#bannedUntilMs.set(toHex(this.#session.publicKey), this.#parts.now() + BAN_MS);
    this.#socket.close(4403, reason);
  }

  #onClose(): void {
    clearTimeout(this.#silence);
    clearInterval(this.#refill);
    clearInterval(this.#forgive);
    if (this.#session) this.#parts.workers.leave(this.#session);
  }

  #send(message: ToWorker): void {
    sendBounded(this.#socket, JSON.stringify(message), MAX_BUFFERED_BYTES);
  }
}
