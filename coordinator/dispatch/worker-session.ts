import type { WorkerView } from '#shared/api/schemas.ts';
import { addressOf, parseAddress } from '#shared/crypto/keys.ts';
import type { FromWorker, Role, ToWorker } from '#shared/protocol/worker.ts';

export type Hello = Extract<FromWorker, { type: 'hello' }>;
export type LeaseRole = 'evaluate' | 'mine';

/** What a session needs of its socket. */
export interface SessionSocket {
  send(message: ToWorker): void;
  close(code: number, reason: string): void;
}

/** One authenticated worker connection: what it can do, what it asked for, what it holds. */
export class WorkerSession {
  readonly publicKey: Uint8Array;
  readonly address: string;
  /** Address that it works for: no two workers of one owner judge the same submission, and none its owner's. */
  readonly owner: string;
  readonly hello: Hello;
  /** Bearer token for payloads that are not on the chain yet. */
  readonly bearer: string;
  /** Leases it asked for and has not got yet. */
  readonly ready: Record<LeaseRole, number> = { evaluate: 0, mine: 0 };
  /** Leases it holds. */
  readonly holds: Record<LeaseRole, number> = { evaluate: 0, mine: 0 };
  chats = 0;
  hashesPerSecond = 0;
  tokensPerSecond = 0;
  rssBytes = 0;
  lastSeenMs: number;
  readonly #socket: SessionSocket;

  constructor(
    socket: SessionSocket,
    identity: { hello: Hello; publicKey: Uint8Array; bearer: string; nowMs: number },
  ) {
    this.#socket = socket;
    this.hello = identity.hello;
    this.publicKey = identity.publicKey;
    this.address = addressOf(identity.publicKey);
    this.owner = identity.hello.owner === undefined ? this.address : parseAddress(identity.hello.owner);
    this.bearer = identity.bearer;
    this.lastSeenMs = identity.nowMs;
  }

  has(role: Role): boolean {
    return this.hello.roles.includes(role);
  }

  send(message: ToWorker): void {
    this.#socket.send(message);
  }

  close(code: number, reason: string): void {
    this.#socket.close(code, reason);
  }

  view(connected: boolean): WorkerView {
    const { name, roles, backend, threads, software } = this.hello;
    return {
      address: this.address,
      name,
      connected,
      roles,
      backend,
      threads,
      software,
      hashes_per_second: this.hashesPerSecond,
      tokens_per_second: this.tokensPerSecond,
      rss_bytes: this.rssBytes,
      evaluating: this.holds.evaluate,
      mining: this.holds.mine,
      last_seen_at: this.lastSeenMs,
    };
  }
}
