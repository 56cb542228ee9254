import type { WorkerSession } from '#coordinator/dispatch/worker-session.ts';
import type { WorkerListener, Workers } from '#coordinator/dispatch/workers.ts';
import type { MiningOptions } from '#coordinator/mining/options.ts';
import { Probes } from '#coordinator/mining/probes.ts';
import { ShareRates } from '#coordinator/mining/share-rates.ts';
import { type RangeMessage, type Share, type ShareMessage, Work } from '#coordinator/mining/work.ts';
import type { Work as CreditedWork } from '#shared/block/work-log.ts';
import type { ErrorCode } from '#shared/errors/catalogue.ts';
import { must, PoolError } from '#shared/errors/pool-error.ts';
import { expectedHashes } from '#shared/pow/target.ts';
import type { Receipt } from '#shared/protocol/receipt.ts';
import type { FromWorker, ToWorker } from '#shared/protocol/worker.ts';

/** What solved a header, and who. */
export interface Solution {
  readonly header: Uint8Array;
  readonly session: WorkerSession;
  /** Time the finder spent on this header, as it says: for figures only. */
  readonly ms: number;
}

export interface BoardParts {
  readonly workers: Pick<Workers, 'withRole'>;
  /** Resolves when the share is durable. */
  readonly shares: { add(work: CreditedWork): Promise<{ readonly receipt: Receipt }> };
  readonly now: () => number;
}

export interface BoardEvents {
  /** It is credited, `ms` after its message. */
  onShare(share: { credit: bigint; ms: number }): void;
  /** A share of an idle pool, which measures and pays nothing. */
  onMeasured(): void;
  onRefused(code: ErrorCode): void;
  onFault(message: string, error: unknown): void;
}

interface Search {
  /** The header to search, with the time of now. */
  readonly template: () => Uint8Array;
  readonly bits: number;
  readonly solve: (solution: Solution) => void;
}

/** About the time one lease should take: short enough to lose little, long enough to cost nothing. */
const LEASE_SECONDS = 2;
const DEFAULT_HASHES_PER_SECOND = 500_000;
/** Shares that cross the cancel of their work count for so long; later ones are stale. */
const LATE_MS = 2_000;
/** How often an idle pool looks for workers to measure. */
const IDLE_TICK_MS = 1_000;

/**
 * The one header that is mined now: its nonce space is leased in disjoint ranges to the workers that are ready, who
 * send every nonce that meets their own target. A template that is not solved in time is made anew.
 */
export class WorkBoard implements WorkerListener {
  readonly #options: MiningOptions;
  readonly #parts: BoardParts;
  readonly #events: BoardEvents;
  readonly rates: ShareRates;
  readonly #probes: Probes;
  readonly #idle: NodeJS.Timeout;
  #search: Search | undefined;
  #work: Work | undefined;
  /** Leases that each worker has not answered yet, also of work that is over. */
  readonly #held = new WeakMap<WorkerSession, Set<string>>();
  /** Works that ended a moment ago. */
  readonly #ended = new Map<string, Work>();
  #roll: NodeJS.Timeout | undefined;
  #count = 0;

  constructor(options: MiningOptions, parts: BoardParts, events: BoardEvents) {
    this.#options = options;
    this.#parts = parts;
    this.#events = events;
    this.rates = new ShareRates(options.vardiff, parts.now);
    this.#probes = new Probes(options.probeMs, parts.now);
    this.#idle = setInterval(() => this.#handOutAll(), IDLE_TICK_MS).unref();
  }

  /** Resolves with the first nonce that meets the target of `bits`; the other leases are cancelled at once. */
  solve(template: () => Uint8Array, bits: number, signal: AbortSignal): Promise<Solution> {
    return new Promise((resolve, reject) => {
      const end = () => {
        signal.removeEventListener('abort', stop);
        this.#search = undefined;
        this.#end();
      };
      const stop = () => {
        end();
        reject(signal.reason as Error);
      };
      if (signal.aborted) return stop();
      signal.addEventListener('abort', stop, { once: true });
      const solve = (solution: Solution) => {
        end();
        resolve(solution);
      };
      this.#search = { template, bits, solve };
      this.#begin(this.#search);
    });
  }

  close(): void {
    clearInterval(this.#idle);
    clearTimeout(this.#roll);
  }

  onReady(session: WorkerSession, role: string): void {
    if (role === 'mine') this.#handOut(session);
  }

  onLost(session: WorkerSession): void {
    this.#work?.lost(session);
    this.#probes.lost(session);
  }

  onMessage(session: WorkerSession, message: FromWorker): void {
    if (message.type === 'range') this.#returned(session, message);
    if (message.type === 'share') this.#shared(session, message);
  }

  /** Of the header that is searched now. */
  get coverage(): Work['coverage'] | undefined {
    return this.#work?.coverage;
  }

  #returned(session: WorkerSession, message: RangeMessage): void {
    const { lease } = message;
    must(this.#held.get(session)?.delete(lease), 'LEASE_UNKNOWN', `this worker does not hold lease ${lease}`);
    session.holds.mine -= 1;
    this.rates.returned(session);
    // The end of a range that somebody else's nonce ended long since concerns nobody any more.
    const work = this.#find(message.work);
    if (!work) return;
    work.returned(session, message);
    this.#probes.returned(work);
  }

  #shared(session: WorkerSession, message: ShareMessage): void {
    try {
      const work = this.#find(message.work);
      must(work, 'WORK_STALE', `work ${message.work} is not searched any more`);
      const share = work.share(session, message);
      this.rates.shared(session, share.credit);
      if (this.#probes.find(work.id)) return this.#measured(session, message);
      this.#credit(share, message);
      if (share.solves && work === this.#work)
        this.#search?.solve({ header: share.header, session, ms: work.grindingMs(session) + message.ms });
    } catch (error) {
      this.#refused(session, PoolError.from(error));
      throw error;
    }
  }

  #measured(session: WorkerSession, { lease, nonce }: ShareMessage): void {
    session.send({ type: 'credited', lease, nonce, receipt: null });
    this.#accepted(session);
    this.#events.onMeasured();
  }

  /** Acknowledged when it is durable. */
  #credit({ session, credit, hash: ref }: Share, { lease, nonce }: ShareMessage): void {
    const startedMs = performance.now();
    const { publicKey: worker, owner: address } = session;
    void this.#parts.shares
      .add({ worker, address, credit, ref })
      .then(({ receipt }) => {
        session.send({ type: 'credited', lease, nonce, receipt });
        this.#accepted(session);
        this.#events.onShare({ credit, ms: performance.now() - startedMs });
      })
      .catch((error: unknown) => this.#notCredited(session, error));
  }

  #accepted(session: WorkerSession): void {
    session.shares.accepted += 1;
    session.shares.hashesPerSecond = this.rates.perSecond(session);
  }

  #refused(session: WorkerSession, error: PoolError): void {
    session.shares.refused += 1;
    this.#events.onRefused(error.code as ErrorCode);
  }

  #notCredited(session: WorkerSession, raw: unknown): void {
    const error = PoolError.from(raw);
    this.#refused(session, error);
    if (error.status >= 500) this.#events.onFault('a share could not be credited', raw);
    session.send({ type: 'error', error: error.toObject() });
  }

  /** Work that is searched, or was a moment ago. */
  #find(id: string): Work | undefined {
    if (this.#work?.id === id) return this.#work;
    this.#forget();
    return this.#ended.get(id) ?? this.#probes.find(id);
  }

  #forget(): void {
    for (const [id, { endedAtMs = 0 }] of this.#ended)
      if (this.#parts.now() - endedAtMs > LATE_MS) this.#ended.delete(id);
  }

  #begin(search: Search): void {
    this.#work = new Work(`work-${++this.#count}`, search.template(), search.bits);
    this.#roll = setTimeout(() => this.#anew(), this.#options.templateMs).unref();
    this.#probes.cancel();
    this.#handOutAll();
  }

  /** The same block with a new time: what was credited so far stays. */
  #anew(): void {
    this.#end();
    if (this.#search) this.#begin(this.#search);
  }

  #end(): void {
    clearTimeout(this.#roll);
    const work = this.#work;
    this.#work = undefined;
    if (!work) return;
    work.endedAtMs = this.#parts.now();
    this.#forget();
    this.#ended.set(work.id, work);
    for (const session of work.holders) session.send({ type: 'cancel', id: work.id });
  }

  #handOutAll(): void {
    for (const session of this.#parts.workers.withRole('mine')) this.#handOut(session);
  }

  #handOut(session: WorkerSession): void {
    if (!this.#work && session.ready.mine > 0) {
      const probe = this.#probes.lease(session, rateOf(session));
      if (probe) this.#give(session, probe);
    }
    while (this.#work && session.ready.mine > 0) {
      const lease = this.#work.lease(session, {
        count: rangeSize(session, this.#work.bits),
        difficulty: this.rates.difficulty(session),
      });
      if (!lease) return this.#work.holders.size === 0 ? this.#anew() : undefined;
      this.#give(session, lease);
    }
  }

  #give(session: WorkerSession, lease: Extract<ToWorker, { type: 'mine' }>): void {
    session.ready.mine -= 1;
    session.holds.mine += 1;
    const held = this.#held.get(session) ?? new Set();
    this.#held.set(session, held.add(lease.lease));
    this.rates.leased(session);
    session.send(lease);
  }
}

const rateOf = ({ hashesPerSecond }: WorkerSession): number =>
  hashesPerSecond > 0 ? hashesPerSecond : DEFAULT_HASHES_PER_SECOND;

/** By the worker's measured rate, but no more than a few times what the target needs. */
function rangeSize(session: WorkerSession, bits: number): bigint {
  const byRate = BigInt(Math.max(1, Math.round(rateOf(session) * LEASE_SECONDS)));
  const byTarget = expectedHashes(bits) * 8n;
  return byRate < byTarget ? byRate : byTarget;
}
