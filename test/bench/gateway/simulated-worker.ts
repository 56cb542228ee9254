import { hash } from 'node:crypto';
import { WebSocket } from 'ws';
import { concatBytes, fromHex, toHex, writeU64be } from '#shared/crypto/bytes.ts';
import { digest } from '#shared/crypto/digest.ts';
import { type KeyPair, sign } from '#shared/crypto/keys.ts';
import {
  type FromWorker,
  type Role,
  type ToWorker,
  WORKER_PROTOCOL_VERSION,
} from '#shared/protocol/worker.ts';
import { backoffMs, RECONNECT } from '#worker/client/backoff.ts';

type Lease = Extract<ToWorker, { type: 'mine' }>;
type EvaluateLease = Extract<ToWorker, { type: 'evaluate' }>;

const HEADER_BYTES = 264;
const NONCE_AT = 256;

export interface WorkerEvents {
  /** The pool let it in. */
  onWelcome(worker: SimulatedWorker): void;
  onAttempt(): void;
  /** The pool has the share of this hash on its disk; so long after it was sent. */
  onCredited(hash: string, ms: number): void;
  onRefused(code: string): void;
}

export interface WorkerSettings {
  readonly url: string;
  readonly key: KeyPair;
  readonly token: string;
  readonly name: string;
  readonly roles: readonly Role[];
}

interface Search {
  readonly lease: Lease;
  /** Whose nonce is changed in place. */
  readonly header: Uint8Array;
  readonly end: bigint;
  next: bigint;
}

/**
 * A worker of the real protocol, small enough that a thousand fit a process: it seeks real shares, one when it is told
 * to, keeps its evaluations for itself, and connects again as a real one does.
 */
export class SimulatedWorker {
  readonly settings: WorkerSettings;
  readonly evaluations: EvaluateLease[] = [];
  readonly #events: WorkerEvents;
  #socket: WebSocket | undefined;
  #search: Search | undefined;
  #isIn = false;
  #isClosed = false;
  #attempt = 0;
  /** Shares whose answer is awaited, by nonce of the lease. */
  readonly #sent = new Map<string, { hash: string; atMs: number }>();

  constructor(settings: WorkerSettings, events: WorkerEvents) {
    this.settings = settings;
    this.#events = events;
  }

  get isIn(): boolean {
    return this.#isIn;
  }

  get canShare(): boolean {
    return this.#isIn && this.#search !== undefined;
  }

  connect(): void {
    if (this.#isClosed) return;
    this.#events.onAttempt();
    const socket = new WebSocket(new URL('/ws/worker', this.settings.url.replace('http', 'ws')), {
      perMessageDeflate: false,
    });
    this.#socket = socket;
    // One process makes a thousand lines: what the pool says is not checked against the schema here.
    socket.on('message', (data) => this.#receive(JSON.parse(String(data)) as ToWorker));
    socket.on('error', () => undefined);
    socket.on('close', () => this.#lost());
  }

  close(): void {
    this.#isClosed = true;
    this.#socket?.close(1000);
  }

  beat(): void {
    this.send({ type: 'heartbeat', hashesPerSecond: 1_000_000, tokensPerSecond: 0, rssBytes: 0 });
  }

  send(message: FromWorker): void {
    if (this.#socket?.readyState === WebSocket.OPEN) this.#socket.send(JSON.stringify(message));
  }

  /** Seeks the next share of its lease and sends it; a lease that is searched goes back. */
  share(): void {
    const search = this.#search;
    if (!search) return;
    const { work, lease, target } = search.lease;
    for (; search.next < search.end; search.next++) {
      const found = hashOf(search);
      if (found > target) continue;
      const nonce = (search.next++).toString();
      this.#sent.set(`${lease}/${nonce}`, { hash: found, atMs: performance.now() });
      return this.send({ type: 'share', work, lease, nonce, ms: 1 });
    }
    this.#giveBack();
  }

  #receive(message: ToWorker): void {
    switch (message.type) {
      case 'challenge':
        return this.#prove(message);
      case 'welcome':
        return this.#begin();
      case 'mine':
        return this.#take(message);
      case 'cancel':
        return this.#search?.lease.work === message.id ? this.#giveBack() : undefined;
      case 'evaluate':
        return void this.evaluations.push(message);
      case 'credited':
        return this.#credited(message);
      case 'error':
        return this.#events.onRefused(message.error.code);
    }
  }

  #prove(message: Extract<ToWorker, { type: 'challenge' }>): void {
    const { key, token, name, roles } = this.settings;
    const network = fromHex(message.network, 32);
    this.send({
      ...{ type: 'hello', protocol: WORKER_PROTOCOL_VERSION, publicKey: toHex(key.publicKey), token, name },
      ...{ software: 'simulated', roles: [...roles], backend: 'none', threads: 1 },
    });
    const proven = concatBytes(fromHex(message.challenge, 32), key.publicKey);
    const signature = toHex(sign(digest('challenge', network, proven), key.secretKey));
    this.send({ type: 'proof', signature });
  }

  #begin(): void {
    this.#isIn = true;
    this.#attempt = 0;
    this.#search = undefined;
    this.#events.onWelcome(this);
    const { roles } = this.settings;
    if (roles.includes('mine')) this.send({ type: 'ready', role: 'mine' });
    if (roles.includes('evaluate')) this.send({ type: 'ready', role: 'evaluate' });
  }

  #take(lease: Lease): void {
    const start = BigInt(lease.start);
    this.#search = {
      lease,
      header: fromHex(lease.header, HEADER_BYTES),
      end: start + BigInt(lease.count),
      next: start,
    };
  }

  #giveBack(): void {
    const search = this.#search;
    this.#search = undefined;
    if (!search) return;
    const { work, lease, start } = search.lease;
    this.send({ type: 'range', work, lease, hashes: (search.next - BigInt(start)).toString(), ms: 1 });
    this.send({ type: 'ready', role: 'mine' });
  }

  #credited({ lease, nonce }: Extract<ToWorker, { type: 'credited' }>): void {
    const key = `${lease}/${nonce}`;
    const sent = this.#sent.get(key);
    if (!sent) return;
    this.#sent.delete(key);
    this.#events.onCredited(sent.hash, performance.now() - sent.atMs);
  }

  /** Whether a share that was not answered stands in the log, nobody knows. */
  #lost(): void {
    this.#isIn = false;
    this.#search = undefined;
    this.#sent.clear();
    this.evaluations.length = 0;
    if (!this.#isClosed) setTimeout(() => this.connect(), backoffMs(this.#attempt++, RECONNECT, Math.random));
  }
}

/** In hex: as texts of one length, hash and target compare like numbers. No object of its own is made for a hash. */
function hashOf({ header, next }: Search): string {
  writeU64be(header, NONCE_AT, next);
  return hash('sha256', header, 'hex');
}
