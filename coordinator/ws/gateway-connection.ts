import { randomBytes } from 'node:crypto';
import type { RawData, WebSocket } from 'ws';
import type { Admission, WorkerDesk, WorkerLine } from '#coordinator/dispatch/worker-desk.ts';
import type { Hello } from '#coordinator/dispatch/worker-session.ts';
import { Conduct } from '#coordinator/ws/conduct.ts';
import { sendBounded } from '#coordinator/ws/server.ts';
import { concatBytes, fromHex, toHex } from '#shared/crypto/bytes.ts';
import { digest } from '#shared/crypto/digest.ts';
import { verifySignature } from '#shared/crypto/keys.ts';
import { must, PoolError } from '#shared/errors/pool-error.ts';
import {
  type FromWorker,
  fromWorkerSchema,
  parseMessage,
  type ToWorker,
  versionsText,
  WORKER_PROTOCOL_VERSION,
  WORKER_SILENCE_MS,
} from '#shared/protocol/worker.ts';

export interface GatewayParts {
  readonly desk: WorkerDesk;
  readonly networkId: Uint8Array;
  readonly onFault: (message: string, error: unknown) => void;
}

const HANDSHAKE_MS = 10_000;
const MAX_BUFFERED_BYTES = 4 * 1024 * 1024;

/** One worker's socket: challenge → hello, proof → admission → messages, until it ends or falls silent. PROTOCOL §11. */
export class GatewayConnection implements WorkerLine {
  readonly #socket: WebSocket;
  readonly #parts: GatewayParts;
  readonly #challenge = randomBytes(32);
  readonly #onProven: () => void;
  readonly #conduct: Conduct;
  #hello: Hello | undefined;
  #admission: Admission | undefined;
  #heardMs = performance.now();
  /** Until a worker is let in, its messages are handled one after the other. */
  #handshake: Promise<void> = Promise.resolve();
  #roundTrips: (() => void)[] = [];

  /** Times are those of a clock that is never set. */
  constructor(socket: WebSocket, parts: GatewayParts, onProven: () => void) {
    this.#socket = socket;
    this.#parts = parts;
    this.#onProven = onProven;
    this.#conduct = new Conduct(this.#heardMs);
    socket.on('message', (data: RawData, isBinary: boolean) => this.#onFrame(data, isBinary));
    socket.on('pong', (data: Buffer) => this.#onPong(data));
    socket.on('close', () => this.#admission?.leave());
    this.send({
      type: 'challenge',
      challenge: toHex(this.#challenge),
      network: toHex(parts.networkId),
      protocol: WORKER_PROTOCOL_VERSION,
    });
  }

  send(message: ToWorker): void {
    sendBounded(this.#socket, JSON.stringify(message), MAX_BUFFERED_BYTES);
  }

  close(code: number, reason: string): void {
    this.#socket.close(code, reason);
  }

  refuse(error: PoolError): void {
    this.send({ type: 'error', error: error.toObject() });
    if (!this.#admission) this.close(4401, error.code);
    else if (!this.#conduct.fails(error.code, performance.now())) this.#ban('too many refused messages');
  }

  roundTrip(then: () => void): void {
    if (this.#socket.readyState !== this.#socket.OPEN) return;
    this.#roundTrips.push(then);
    this.#socket.ping(ROUND_TRIP);
  }

  /** A silent worker is lost: its leases go back while it may still be frozen. */
  checkSilence(nowMs: number): void {
    const silentMs = nowMs - this.#heardMs;
    if (this.#admission && silentMs > WORKER_SILENCE_MS) this.#socket.terminate();
    else if (!this.#admission && silentMs > HANDSHAKE_MS) this.close(4408, 'the handshake took too long');
  }

  #onFrame(data: RawData, isBinary: boolean): void {
    if (this.#socket.readyState !== this.#socket.OPEN) return;
    if (isBinary) return this.close(1003, 'expected text');
    if (!this.#conduct.speaks(performance.now())) return this.#ban('too many messages');
    const text = String(data);
    if (this.#admission) this.#handle(this.#admission, text);
    else this.#handshake = this.#handshake.then(() => this.#next(text)).catch((error) => this.#fail(error));
  }

  #handle(admission: Admission, text: string): void {
    try {
      const message = parseMessage(fromWorkerSchema, text);
      this.#heardMs = performance.now();
      if (message.type !== 'goodbye') return admission.deliver(message);
      admission.leave(true);
      this.close(1000, 'goodbye');
    } catch (error) {
      this.#fail(error);
    }
  }

  async #next(text: string): Promise<void> {
    if (this.#socket.readyState !== this.#socket.OPEN) return;
    if (this.#admission) this.#handle(this.#admission, text);
    else await this.#greet(text);
  }

  async #greet(text: string): Promise<void> {
    const message = parseMessage(fromWorkerSchema, text);
    if (message.type === 'hello' && !this.#hello) {
      must(message.protocol === WORKER_PROTOCOL_VERSION, 'PROTOCOL_VERSION', () =>
        versionsText({ pool: WORKER_PROTOCOL_VERSION, worker: message.protocol }),
      );
      this.#hello = message;
      return;
    }
    const hello = this.#prove(message);
    const admission = await this.#parts.desk.admit(hello, this);
    if (this.#socket.readyState !== this.#socket.OPEN) return admission.leave();
    this.#admission = admission;
    this.#heardMs = performance.now();
    this.#onProven();
  }

  #prove(message: FromWorker): Hello {
    const hello = this.#hello;
    must(hello && message.type === 'proof', 'MESSAGE', `expected hello, then proof, got ${message.type}`);
    const publicKey = fromHex(hello.publicKey, 33);
    const signed = digest('challenge', this.#parts.networkId, concatBytes(this.#challenge, publicKey));
    must(
      verifySignature(fromHex(message.signature, 64), signed, publicKey),
      'UNAUTHORISED',
      'the challenge is not signed by this key',
    );
    return hello;
  }

  #onPong(data: Buffer): void {
    if (data.equals(ROUND_TRIP)) this.#roundTrips.shift()?.();
  }

  #fail(raw: unknown): void {
    const error = PoolError.from(raw);
    if (error.code === 'INTERNAL') this.#parts.onFault('a worker message could not be handled', raw);
    this.refuse(error);
  }

  #ban(reason: string): void {
    // Only a key that was proven: nobody gets another's key shut out.
    if (this.#admission && this.#hello) this.#parts.desk.ban(this.#hello.publicKey);
    this.close(4403, reason);
  }
}

/** Tells our pings from those that only ask whether the line is alive. */
const ROUND_TRIP = Buffer.from('round trip');
