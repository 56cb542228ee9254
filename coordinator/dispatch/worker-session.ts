import { capabilitiesView, healthView } from '#coordinator/dispatch/machine-view.ts';
import type { WorkerView } from '#shared/api/worker-schemas.ts';
import { addressOf } from '#shared/crypto/keys.ts';
import type { Standing } from '#shared/protocol/standing.ts';
import type { FromWorker, Role, ToWorker } from '#shared/protocol/worker.ts';

export type Hello = Extract<FromWorker, { type: 'hello' }>;
export const LEASE_ROLES = ['evaluate', 'mine'] as const;
export type LeaseRole = (typeof LEASE_ROLES)[number];
export type Heartbeat = Extract<FromWorker, { type: 'heartbeat' }>;

/** What a session needs of its socket. */
export interface SessionSocket {
  send(message: ToWorker): void;
  close(code: number, reason: string): void;
}

/** One authenticated worker connection: what it can do, what it asked for, what it holds. */
export class WorkerSession {
  readonly publicKey: Uint8Array;
  readonly address: string;
  /**
   * Address that it works for, as its enrolment has it: its work is paid there, no two workers of one owner judge the
   * same submission, and none its owner's.
   */
  readonly owner: string;
  readonly hello: Hello;
  /** Bearer token for payloads that are not on the chain yet. */
  readonly bearer: string;
  /** Leases it asked for and has not got yet. */
  readonly ready: Record<LeaseRole, number> = { evaluate: 0, mine: 0 };
  /** Leases it holds. */
  readonly holds: Record<LeaseRole, number> = { evaluate: 0, mine: 0 };
  standing: Standing;
  /** It finishes what it holds and goes then. */
  leaving = false;
  /** Leases it asked for and does not get, as long as it gets nothing new. */
  #withheld: Record<LeaseRole, number> = { evaluate: 0, mine: 0 };
  chats = 0;
  hashesPerSecond = 0;
  tokensPerSecond = 0;
  rssBytes = 0;
  #health: WorkerView['health'];
  /** What became of its shares since it connected, and the rate that they prove. */
  readonly shares = { accepted: 0, refused: 0, hashesPerSecond: 0 };
  lastSeenMs: number;
  readonly #socket: SessionSocket;

  constructor(
    socket: SessionSocket,
    identity: {
      hello: Hello;
      publicKey: Uint8Array;
      bearer: string;
      nowMs: number;
      /** Its own address where it is left out. */
      owner?: string;
      standing?: Standing;
    },
  ) {
    this.#socket = socket;
    this.hello = identity.hello;
    this.publicKey = identity.publicKey;
    this.address = addressOf(identity.publicKey);
    this.owner = identity.owner ?? this.address;
    this.standing = identity.standing ?? 'active';
    this.bearer = identity.bearer;
    this.lastSeenMs = identity.nowMs;
  }

  has(role: Role): boolean {
    return this.hello.roles.includes(role);
  }

  /** Whether it gets anything new. */
  get takes(): boolean {
    return this.standing === 'active' && !this.leaving;
  }

  /** Leases it asked for, whether it gets them now or not. */
  asked(role: LeaseRole): number {
    return this.ready[role] + this.#withheld[role];
  }

  /** It asks for one more lease. True where it may have it. */
  ask(role: LeaseRole): boolean {
    (this.takes ? this.ready : this.#withheld)[role] += 1;
    return this.takes;
  }

  /** It gets nothing new from now on. */
  rest(): void {
    for (const role of LEASE_ROLES) {
      this.#withheld[role] += this.ready[role];
      this.ready[role] = 0;
    }
  }

  /** The roles in which it waits again, once for each lease. */
  wake(): LeaseRole[] {
    const waiting = LEASE_ROLES.flatMap((role) => new Array<LeaseRole>(this.#withheld[role]).fill(role));
    this.#withheld = { evaluate: 0, mine: 0 };
    return waiting;
  }

  beat({ hashesPerSecond, tokensPerSecond, rssBytes, health }: Heartbeat): void {
    this.#health = health && healthView(health, this.lastSeenMs);
    this.hashesPerSecond = hashesPerSecond;
    this.tokensPerSecond = tokensPerSecond;
    this.rssBytes = rssBytes;
  }

  send(message: ToWorker): void {
    this.#socket.send(message);
  }

  close(code: number, reason: string): void {
    this.#socket.close(code, reason);
  }

  view(connected: boolean): WorkerView {
    const { accepted, refused } = this.shares;
    const { name, roles, backend, threads, software, capabilities } = this.hello;
    return {
      address: this.address,
      owner: this.owner,
      name,
      connected,
      standing: this.standing,
      roles,
      backend,
      threads,
      software,
      hashes_per_second: this.hashesPerSecond,
      tokens_per_second: this.tokensPerSecond,
      ...(accepted + refused > 0 && {
        shares: { accepted, refused, hashes_per_second: this.shares.hashesPerSecond },
      }),
      rss_bytes: this.rssBytes,
      evaluating: this.holds.evaluate,
      mining: this.holds.mine,
      last_seen_at: this.lastSeenMs,
      ...(capabilities && { capabilities: capabilitiesView(capabilities) }),
      ...(this.#health && { health: this.#health }),
    };
  }
}
