import type { WorkerSession } from '#coordinator/dispatch/worker-session.ts';
import { firstDifficulty, nextDifficulty, type VardiffRule } from '#shared/pow/vardiff.ts';

/** A worker that has not told its rate yet: that of a slow core. */
const DEFAULT_HASHES_PER_SECOND = 500_000;
/** Of the measured rate, older work counts half after so long. */
const RATE_WINDOW_MS = 5 * 60_000;

/** What a worker's shares say of it. Times are those in which it held a lease. */
interface Measured {
  difficulty: bigint;
  /** Leases that it holds, and since when it holds one. */
  leases: number;
  sinceMs: number;
  /** Time and credit since the difficulty was last looked at. */
  ms: number;
  credit: bigint;
  /** Time and credit for the rate. */
  rateMs: number;
  rateCredit: number;
}

/** How hard each worker's shares are, and how fast it hashes by what its shares prove. */
export class ShareRates {
  readonly #rule: VardiffRule;
  readonly #now: () => number;
  readonly #measured = new WeakMap<WorkerSession, Measured>();

  constructor(rule: VardiffRule, now: () => number) {
    this.#rule = rule;
    this.#now = now;
  }

  leased(session: WorkerSession): void {
    const measured = this.#of(session);
    this.#pass(measured);
    measured.leases += 1;
  }

  returned(session: WorkerSession): void {
    const measured = this.#of(session);
    this.#pass(measured);
    measured.leases = Math.max(0, measured.leases - 1);
  }

  shared(session: WorkerSession, credit: bigint): void {
    const measured = this.#of(session);
    measured.credit += credit;
    measured.rateCredit += Number(credit);
  }

  /** The difficulty of the next lease. */
  difficulty(session: WorkerSession): bigint {
    const measured = this.#of(session);
    this.#pass(measured);
    const { difficulty, credit, ms } = measured;
    // An easy block makes easier shares: they count for as much as they are worth.
    const next = nextDifficulty(this.#rule, difficulty, { shares: Number(credit / difficulty), ms });
    if (next === undefined) return difficulty;
    Object.assign(measured, { difficulty: next, ms: 0, credit: 0n });
    return next;
  }

  /** Hashes per second while it held leases; 0 until it has shown one. */
  perSecond(session: WorkerSession): number {
    const measured = this.#of(session);
    this.#pass(measured);
    return measured.rateMs > 0 ? (measured.rateCredit / measured.rateMs) * 1000 : 0;
  }

  #of(session: WorkerSession): Measured {
    const known = this.#measured.get(session);
    if (known) return known;
    const rate = session.hashesPerSecond > 0 ? session.hashesPerSecond : DEFAULT_HASHES_PER_SECOND;
    const measured: Measured = {
      difficulty: firstDifficulty(this.#rule, rate),
      ...{ leases: 0, sinceMs: this.#now(), ms: 0, credit: 0n, rateMs: 0, rateCredit: 0 },
    };
    this.#measured.set(session, measured);
    return measured;
  }

  #pass(measured: Measured): void {
    const now = this.#now();
    const passed = measured.leases > 0 ? Math.max(0, now - measured.sinceMs) : 0;
    measured.sinceMs = now;
    measured.ms += passed;
    measured.rateMs += passed;
    if (measured.rateMs < 2 * RATE_WINDOW_MS) return;
    measured.rateMs /= 2;
    measured.rateCredit /= 2;
  }
}
