import type { HeldJob } from '#coordinator/dispatch/job-queue.ts';
import type { WorkerSession } from '#coordinator/dispatch/worker-session.ts';
import type { Heard } from '#coordinator/evaluation/check-result.ts';
import type { DescribedJob } from '#coordinator/evaluation/describe-job.ts';
import { addressOf } from '#shared/crypto/keys.ts';
import { decideQuorum, mostResults, type QuorumDecision } from '#shared/pol/quorum.ts';

/** A worker's part in an evaluation, from the lease to its losses. */
export interface Seat {
  readonly lease: string;
  readonly session: WorkerSession;
  /** What it committed to, once it has. */
  commitment: Uint8Array | undefined;
  /** Its losses were asked for. */
  revealing: boolean;
  /** When the pool stops waiting for its next message. */
  expiresMs: number;
}

/** A worker of him whose weights are judged, or his own key. */
export function isOwn(
  miner: string | undefined,
  { owner, address }: { readonly owner: string; readonly address: string },
): boolean {
  return owner === miner || address === miner;
}

/**
 * The workers that evaluate one job, and what they found: who may sit on it, when all have committed, and whether
 * they agree. Keeps no time and sends nothing. PROTOCOL §8.
 */
export class Committee {
  readonly job: DescribedJob;
  readonly seats = new Map<string, Seat>();
  readonly heard: Heard[] = [];
  /** What was heard in rounds that settled nothing. */
  readonly discarded: Heard[] = [];
  /** Workers that took a seat and did not finish. */
  readonly failed = new Map<string, WorkerSession>();
  /** The queue's job; a committee that only tests a worker has none. */
  held: HeldJob | undefined;
  /** Results that it takes, as far as is known now. */
  wanted: number;
  /** Agreements in a row of a trusted worker, who may refuse alone. */
  trusted: number | undefined;
  /** A canary: what is known already, and the answer is held against. */
  known: Heard | undefined;
  /** When it stops waiting for one worker more, who would settle it or be tested by it. */
  patientUntilMs = Number.POSITIVE_INFINITY;
  /** Evaluations of this job that ended abnormally. */
  crashes = 0;
  /** What it found is being written down: nobody takes a seat meanwhile. */
  busy = false;
  readonly #miner: string | undefined;

  constructor(job: DescribedJob, held: HeldJob) {
    this.job = job;
    this.held = held;
    this.wanted = job.quorum.needed;
    this.#miner = job.miner ? addressOf(job.miner) : undefined;
  }

  /** Seats to be taken. */
  get open(): number {
    return this.busy ? 0 : Math.max(0, this.wanted - this.seats.size - this.heard.length);
  }

  /** Nobody judges a submission of his own, nor twice under two keys. */
  admits(session: WorkerSession): boolean {
    if (isOwn(this.#miner, session)) return false;
    return !this.members.some(({ owner }) => owner === session.owner);
  }

  /** Those that sit on it, and those that were heard: public keys and owners. */
  get members(): readonly { readonly worker: Uint8Array; readonly owner: string }[] {
    const seated = [...this.seats.values()].map(({ session }) => session);
    return [...seated.map(({ publicKey, owner }) => ({ worker: publicKey, owner })), ...this.heard];
  }

  /** Nobody can tell who is right: what was heard counts no more, but it did cost. */
  discard(): void {
    this.discarded.push(...this.heard.splice(0));
    this.wanted = this.job.quorum.needed;
  }

  /** Every seat is taken and every worker has committed: nobody can take from another what he did not find. */
  get mayReveal(): boolean {
    return (
      this.seats.size > 0 &&
      this.open === 0 &&
      [...this.seats.values()].every(({ commitment }) => commitment !== undefined)
    );
  }

  /** What the results say, once no seat is out. A trusted worker's refusal stands alone, its praise does not. */
  decide(): QuorumDecision<Heard> {
    const { needed, toleranceMicroNats } = this.job.quorum;
    const [first] = this.heard;
    if (this.trusted !== undefined && first?.verdict?.passed === false)
      return { kind: 'agreed', agreeing: [first], outvoted: [] };
    if (first) this.trusted = undefined;
    return decideQuorum(this.heard, { needed, toleranceMicroNats, most: mostResults(needed) });
  }
}
