import type { WorkerSession } from '#coordinator/dispatch/worker-session.ts';
import { type NonceRange, NonceSpace } from '#coordinator/mining/nonce-space.ts';
import { blockHash, withNonce } from '#shared/block/header.ts';
import { toHex } from '#shared/crypto/bytes.ts';
import { must } from '#shared/errors/pool-error.ts';
import { expectedHashes, meetsTarget, targetFromBits } from '#shared/pow/target.ts';
import { shareTarget } from '#shared/pow/vardiff.ts';
import type { FromWorker, ToWorker } from '#shared/protocol/worker.ts';

export type ShareMessage = Extract<FromWorker, { type: 'share' }>;
export type RangeMessage = Extract<FromWorker, { type: 'range' }>;

interface Lease {
  readonly session: WorkerSession;
  readonly range: NonceRange;
  readonly target: bigint;
  /** Hashes that a share of it takes on average. */
  readonly credit: bigint;
  /** Nonces that were shared, so that none counts twice. */
  readonly shared: Set<bigint>;
}

/** A nonce that meets the target of its lease. */
export interface Share {
  readonly session: WorkerSession;
  /** The header with the nonce, and its hash. */
  readonly header: Uint8Array;
  readonly hash: Uint8Array;
  readonly credit: bigint;
  /** It meets the target of the block. */
  readonly solves: boolean;
}

/** One header that is searched: its nonce space, and who searches which part of it. */
export class Work {
  readonly id: string;
  readonly header: Uint8Array;
  readonly bits: number;
  /** When it was given up or solved; shares that cross the cancel on their way still count for a moment. */
  endedAtMs: number | undefined;
  readonly #target: bigint;
  readonly #nonces = new NonceSpace();
  readonly #leases = new Map<string, Lease>();
  readonly #grindingMs = new Map<WorkerSession, number>();
  #count = 0;

  constructor(id: string, header: Uint8Array, bits: number) {
    this.id = id;
    this.header = header;
    this.bits = bits;
    this.#target = targetFromBits(bits);
  }

  /** A lease of at most `count` nonces; undefined where none are left. Shares are never harder than the block. */
  lease(
    session: WorkerSession,
    asked: { count: bigint; difficulty: bigint },
  ): Extract<ToWorker, { type: 'mine' }> | undefined {
    const range = this.#nonces.take(asked.count);
    if (!range) return undefined;
    const easier = shareTarget(asked.difficulty);
    const isEasier = easier > this.#target;
    const target = isEasier ? easier : this.#target;
    const credit = isEasier ? asked.difficulty : expectedHashes(this.bits);
    const lease = `${this.id}-${this.#count++}`;
    this.#leases.set(lease, { session, range, target, credit, shared: new Set() });
    return {
      type: 'mine',
      lease,
      work: this.id,
      header: toHex(this.header),
      bits: this.bits,
      target: target.toString(16).padStart(64, '0'),
      start: range.start.toString(),
      count: (range.end - range.start).toString(),
    };
  }

  /** LEASE_UNKNOWN, WORK_RANGE, SHARE_DUPLICATE or WORK_LOW unless it is a share. */
  share(session: WorkerSession, message: ShareMessage): Share {
    const { range, target, credit, shared } = this.#held(session, message.lease);
    const nonce = BigInt(message.nonce);
    must(
      nonce >= range.start && nonce < range.end,
      'WORK_RANGE',
      `nonce ${nonce} lies outside lease ${message.lease}`,
    );
    must(!shared.has(nonce), 'SHARE_DUPLICATE', `nonce ${nonce} was shared before`);
    const header = withNonce(this.header, nonce);
    const hash = blockHash(header);
    must(meetsTarget(hash, target), 'WORK_LOW', `the hash of nonce ${nonce} does not meet the target`);
    shared.add(nonce);
    return { session, header, hash, credit, solves: meetsTarget(hash, this.#target) };
  }

  /** LEASE_UNKNOWN unless the worker holds it. */
  returned(session: WorkerSession, { lease, ms }: RangeMessage): void {
    const { range } = this.#held(session, lease);
    this.#nonces.searched(range);
    this.#leases.delete(lease);
    this.#grindingMs.set(session, (this.#grindingMs.get(session) ?? 0) + ms);
  }

  /** Whatever the worker held is for others, unless its shares would be found again. */
  lost(session: WorkerSession): void {
    for (const [id, { session: holder, range, shared }] of this.#leases) {
      if (holder !== session) continue;
      if (shared.size > 0) this.#nonces.skipped(range);
      else this.#nonces.lost(range);
      this.#leases.delete(id);
    }
  }

  get coverage(): NonceSpace['coverage'] {
    return this.#nonces.coverage;
  }

  /** All 2⁶⁴ nonces are searched or leased. */
  get isExhausted(): boolean {
    return this.#nonces.isExhausted;
  }

  get holders(): ReadonlySet<WorkerSession> {
    return new Set([...this.#leases.values()].map(({ session }) => session));
  }

  /** Time that the worker spent on it, as it says: for figures only. */
  grindingMs(session: WorkerSession): number {
    return this.#grindingMs.get(session) ?? 0;
  }

  #held(session: WorkerSession, id: string): Lease {
    const lease = this.#leases.get(id);
    must(lease && lease.session === session, 'LEASE_UNKNOWN', `this worker does not hold lease ${id}`);
    return lease;
  }
}
