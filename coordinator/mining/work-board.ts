import type { WorkerSession } from '#coordinator/dispatch/worker-session.ts';
import type { WorkerListener, Workers } from '#coordinator/dispatch/workers.ts';
import { blockHash, withNonce } from '#shared/block/header.ts';
import { toHex } from '#shared/crypto/bytes.ts';
import { must } from '#shared/errors/pool-error.ts';
import { expectedHashes, meetsTarget, targetFromBits } from '#shared/pow/target.ts';
import type { FromWorker } from '#shared/protocol/worker.ts';

/** What solved a header, and who. */
export interface Solution {
  readonly header: Uint8Array;
  readonly session: WorkerSession;
  /** Time the finder spent on this header, as it says: for figures only. */
  readonly ms: number;
}

interface Work {
  readonly id: string;
  readonly header: Uint8Array;
  readonly target: bigint;
  readonly bits: number;
  nextNonce: bigint;
  readonly leases: Map<string, { session: WorkerSession; start: bigint; end: bigint }>;
  readonly grindingMs: Map<WorkerSession, number>;
  readonly solve: (solution: Solution) => void;
}

/** About the time one lease should take: short enough to lose little, long enough to cost nothing. */
const LEASE_SECONDS = 2;
const DEFAULT_HASHES_PER_SECOND = 500_000;
const MAX_NONCE = 1n << 64n;
/** Headers whose late answers are nobody's fault. */
const RECENT_WORK = 100;

/** The one header that is mined now: its nonce space is leased in disjoint ranges to the workers that are ready. */
export class WorkBoard implements WorkerListener {
  readonly #workers: Workers;
  #work: Work | undefined;
  #count = 0;

  constructor(workers: Workers) {
    this.#workers = workers;
  }

  /** Resolves with the first nonce that meets the target of `bits`; the other leases are cancelled at once. */
  solve(header: Uint8Array, bits: number, signal: AbortSignal): Promise<Solution> {
    return new Promise((resolve, reject) => {
      const stop = () => {
        this.#drop();
        reject(signal.reason as Error);
      };
      if (signal.aborted) return stop();
      signal.addEventListener('abort', stop, { once: true });
      this.#work = {
        id: `work-${++this.#count}`,
        header,
        bits,
        target: targetFromBits(bits),
        nextNonce: 0n,
        leases: new Map(),
        grindingMs: new Map(),
        solve: (solution) => {
          signal.removeEventListener('abort', stop);
          this.#drop();
          resolve(solution);
        },
      };
      for (const session of this.#workers.withRole('mine')) this.#handOut(session);
    });
  }

  onReady(session: WorkerSession, role: string): void {
    if (role === 'mine') this.#handOut(session);
  }

  /** Lost ranges are not searched again: the nonce space never runs short. */
  onLost(session: WorkerSession): void {
    for (const [id, lease] of this.#work?.leases ?? [])
      if (lease.session === session) this.#work?.leases.delete(id);
  }

  onMessage(session: WorkerSession, message: FromWorker): void {
    if (message.type !== 'range') return;
    session.holds.mine = Math.max(0, session.holds.mine - 1);
    const work = this.#work;
    // A range of work that somebody else just solved crosses the cancel on its way: late, not wrong.
    if (work?.id !== message.work) {
      must(
        message.nonce === null || this.#isKnown(message.work),
        'WORK_STALE',
        `there is no work ${message.work}`,
      );
      return;
    }
    const lease = work.leases.get(message.lease);
    must(
      lease && lease.session === session,
      'LEASE_UNKNOWN',
      `this worker does not hold lease ${message.lease}`,
    );
    work.leases.delete(message.lease);
    work.grindingMs.set(session, (work.grindingMs.get(session) ?? 0) + message.ms);
    if (message.nonce === null) return;
    const nonce = BigInt(message.nonce);
    must(
      nonce >= lease.start && nonce < lease.end,
      'WORK_RANGE',
      `nonce ${nonce} lies outside lease ${message.lease}`,
    );
    const header = withNonce(work.header, nonce);
    must(
      meetsTarget(blockHash(header), work.target),
      'WORK_LOW',
      `the hash of nonce ${nonce} does not meet the target`,
    );
    work.solve({ header, session, ms: work.grindingMs.get(session) as number });
  }

  /** Work of a moment ago: what is older was answered long since by whoever held it. */
  #isKnown(work: string): boolean {
    const index = /^work-([0-9]{1,15})$/.exec(work)?.[1];
    return index !== undefined && Number(index) <= this.#count && Number(index) > this.#count - RECENT_WORK;
  }

  #handOut(session: WorkerSession): void {
    const work = this.#work;
    while (work && session.ready.mine > 0 && work.nextNonce < MAX_NONCE) {
      session.ready.mine -= 1;
      session.holds.mine += 1;
      const start = work.nextNonce;
      const end = minBigint(start + rangeSize(session, work.bits), MAX_NONCE);
      work.nextNonce = end;
      const lease = `${work.id}-${work.leases.size}-${start}`;
      work.leases.set(lease, { session, start, end });
      session.send({
        type: 'mine',
        lease,
        work: work.id,
        header: toHex(work.header),
        bits: work.bits,
        start: start.toString(),
        count: (end - start).toString(),
      });
    }
  }

  #drop(): void {
    const work = this.#work;
    this.#work = undefined;
    if (!work) return;
    for (const session of new Set([...work.leases.values()].map((lease) => lease.session)))
      session.send({ type: 'cancel', id: work.id });
  }
}

/** By the worker's measured rate, but no more than a few times what the target needs. */
function rangeSize(session: WorkerSession, bits: number): bigint {
  const rate = session.hashesPerSecond > 0 ? session.hashesPerSecond : DEFAULT_HASHES_PER_SECOND;
  const byRate = BigInt(Math.max(1, Math.round(rate * LEASE_SECONDS)));
  return minBigint(byRate, expectedHashes(bits) * 8n);
}

const minBigint = (a: bigint, b: bigint): bigint => (a < b ? a : b);
