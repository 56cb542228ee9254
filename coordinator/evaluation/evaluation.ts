import type { JobQueue } from '#coordinator/dispatch/job-queue.ts';
import type { Reputations } from '#coordinator/dispatch/reputations.ts';
import type { WorkerSession } from '#coordinator/dispatch/worker-session.ts';
import type { WorkerListener, Workers } from '#coordinator/dispatch/workers.ts';
import { checkResult, type EvaluatedMessage } from '#coordinator/evaluation/check-result.ts';
import type { Committee } from '#coordinator/evaluation/committee.ts';
import type { JobParts } from '#coordinator/evaluation/describe-job.ts';
import { HeadLosses } from '#coordinator/evaluation/head-losses.ts';
import { Seating } from '#coordinator/evaluation/seating.ts';
import { Seats, type Taken } from '#coordinator/evaluation/seats.ts';
import { type EvaluationEvents, Settlement } from '#coordinator/evaluation/settlement.ts';
import { LongWaits, type Waiting } from '#coordinator/evaluation/waiting.ts';
import type { SubmissionRecord } from '#coordinator/store/submissions.ts';
import { fromHex, toHex } from '#shared/crypto/bytes.ts';
import { PoolError } from '#shared/errors/pool-error.ts';
import type { FromWorker } from '#shared/protocol/worker.ts';

export interface EvaluationOptions {
  /** A worker that does not commit to a result, or show it, by then loses its seat. */
  readonly leaseMs: number;
  /** How often the locks of running jobs are extended, and the queue is looked at. */
  readonly tickMs: number;
  /** A submission whose evaluation ends abnormally this often, and never well, is refused. */
  readonly maxCrashes: number;
  /** One in so many agreed results is asked of one worker more, to test it. */
  readonly canaryOneIn: number;
}

export const EVALUATION_DEFAULTS: EvaluationOptions = {
  leaseMs: 600_000,
  tickMs: 1_000,
  maxCrashes: 3,
  canaryOneIn: 32,
};

/** How often the store's queued submissions are compared with the queue. */
const SWEEP_MS = 5_000;

export interface EvaluationParts extends Omit<JobParts, 'heads'> {
  readonly queue: JobQueue;
  readonly workers: Workers;
  readonly reputations: Reputations;
  readonly now: () => number;
}

/**
 * The evaluation stage: seats workers on the committees of queued submissions (and of new heads, to be measured),
 * and has decided what they sign. Losses come from workers; whether they suffice is decided here, by quorum and
 * gate. What waits stands in the store; the queue only says whose turn it is, and is filled again whenever it forgets.
 */
export class EvaluationStage implements WorkerListener {
  readonly #options: EvaluationOptions;
  readonly #parts: EvaluationParts;
  readonly #events: EvaluationEvents;
  readonly #committees = new Set<Committee>();
  readonly #seats: Seats;
  readonly #seating: Seating;
  readonly #settlement: Settlement;
  readonly #heads: HeadLosses;
  readonly #longWaits = new LongWaits();
  readonly #running = new Set<Promise<void>>();
  #pumping: Promise<void> | undefined;
  #again = false;
  #closed = false;
  #nextSweepMs = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor(options: EvaluationOptions, parts: EvaluationParts, events: EvaluationEvents) {
    this.#options = options;
    this.#parts = parts;
    this.#events = events;
    this.#seats = new Seats({ leaseMs: options.leaseMs, now: parts.now });
    this.#heads = new HeadLosses(parts.chain, (loss) => events.onHeadLoss(loss));
    const all = { ...parts, seats: this.#seats, heads: this.#heads };
    this.#seating = new Seating(this.#committees, all);
    this.#settlement = new Settlement(options, all, events);
  }

  start(): void {
    this.#timer = setInterval(() => this.#tick(), this.#options.tickMs);
  }

  /** Gives every job back. */
  async close(): Promise<void> {
    this.#closed = true;
    clearInterval(this.#timer);
    await this.#pumping;
    await Promise.allSettled(this.#running);
    for (const committee of this.#committees) this.#background(this.#settlement.putBack(committee));
    await Promise.allSettled(this.#running);
  }

  /**
   * Brings a submission into the queue; also again, when the head has moved under it. Durable when it resolves: a
   * Redis that is away is no reason to refuse, the sweep tells it later.
   */
  async enqueue(record: SubmissionRecord): Promise<void> {
    if (record.state !== 'queued') await this.#parts.submissions.move(record.id, 'queued');
    await this.#add({ kind: 'submission', id: toHex(record.id) });
  }

  /** The head is another: estimates its loss, and has it measured when it is time for that. */
  async headMoved(): Promise<void> {
    await this.#heads.follow();
    if (this.#heads.due().length > 0)
      await this.#add({ kind: 'head', id: toHex(this.#parts.chain.sealed.root) });
  }

  /** Has the sealed submissions that are due evaluated on the held-out windows of their epochs. */
  async recheck(): Promise<void> {
    for (const id of this.#parts.heldOut.due()) await this.#add({ kind: 'held-out', id });
  }

  async #add(job: Parameters<JobQueue['add']>[0]): Promise<void> {
    try {
      await this.#parts.queue.add(job);
    } catch (error) {
      this.#events.onFault('an evaluation could not be queued yet', error);
    }
    this.pump();
  }

  onReady(_session: WorkerSession, role: string): void {
    if (role === 'evaluate') this.pump();
  }

  onLost(session: WorkerSession): void {
    for (const taken of this.#seats.heldBy(session)) {
      this.#seats.end(taken);
      this.#advance(taken.committee);
    }
  }

  onMessage(session: WorkerSession, message: FromWorker): void {
    switch (message.type) {
      case 'progress':
        return this.#progress(session, message);
      case 'committed': {
        const taken = this.#seats.of(session, message.lease);
        this.#seats.commit(taken, fromHex(message.commitment, 32));
        return this.#advance(taken.committee);
      }
      case 'evaluated':
        return this.#evaluated(this.#seats.of(session, message.lease), message);
      case 'failed':
        return this.#failed(this.#seats.of(session, message.lease), PoolError.fromObject(message.error));
    }
  }

  #progress(session: WorkerSession, message: Extract<FromWorker, { type: 'progress' }>): void {
    // One that crossed the end of its lease on the way is no fault.
    const taken = this.#seats.heldBy(session).find(({ seat }) => seat.lease === message.lease);
    const record = taken?.committee.known ? null : taken?.committee.job.record;
    if (record) this.#events.onProgress(record, { done: message.done, total: message.total });
  }

  /** A result that does not hold is the worker's fault alone: the gateway counts it, the job goes to another. */
  #evaluated(taken: Taken, message: EvaluatedMessage): void {
    const { committee, seat } = taken;
    this.#seats.end(taken);
    try {
      const heard = checkResult(this.#parts.chain.networkId, committee.job, { message, seat });
      this.#events.onEvaluated(heard.ms);
      committee.heard.push(heard);
    } catch (error) {
      this.#events.onFault(`worker ${seat.session.address} sent a result that does not hold`, error);
      committee.failed.set(seat.session.address, seat.session);
      this.#background(this.#parts.reputations.disagreed(seat.session.publicKey));
      throw error;
    } finally {
      this.#advance(committee);
    }
  }

  #failed(taken: Taken, failure: PoolError): void {
    const { committee, seat } = taken;
    this.#events.onFault(`worker ${seat.session.address} could not evaluate`, failure);
    this.#seats.end(taken);
    committee.failed.set(seat.session.address, seat.session);
    committee.crashes += 1;
    this.#advance(committee, failure);
  }

  /** To be called whenever a seat has turned or ended. */
  #advance(committee: Committee, failure?: PoolError): void {
    if (committee.mayReveal) this.#seats.reveal(committee);
    const finished = committee.seats.size === 0 || (failure && this.#settlement.isHopeless(committee));
    if (finished && !committee.busy && this.#committees.has(committee) && !this.#closed)
      this.#settle(committee, failure);
    this.pump();
  }

  #settle(committee: Committee, failure?: PoolError): void {
    committee.busy = true;
    const work = this.#settlement.settle(committee, failure).then((goesOn) => {
      committee.busy = false;
      if (!goesOn) this.#committees.delete(committee);
      this.pump();
    });
    this.#background(
      work.catch((error) => {
        this.#committees.delete(committee);
        throw error;
      }),
    );
  }

  /** Hands out seats while workers are ready. One run at a time; a call meanwhile makes it look once more. */
  pump(): void {
    if (this.#closed) return;
    this.#again = true;
    this.#pumping ??= this.#pumpAll();
  }

  async #pumpAll(): Promise<void> {
    await undefined; // not over before it is noted that it runs
    while (this.#again) {
      this.#again = false;
      try {
        for (const committee of this.#committees)
          if (!committee.busy && this.#settlement.isStale(committee)) this.#settle(committee);
        while (!this.#closed && (await this.#seating.handOutOne()));
      } catch (error) {
        this.#events.onFault('an evaluation could not be handed out', error);
      }
    }
    // With the last look, and nothing awaited in between: a call from now on begins another run.
    this.#pumping = undefined;
  }

  #tick(): void {
    const now = this.#parts.now();
    for (const committee of this.#committees) {
      // A lock that is lost comes back as the same job, and is bound to its committee again.
      committee.held?.extend().catch(() => undefined);
      for (const seat of [...committee.seats.values()])
        if (now > seat.expiresMs) this.#expire({ seat, committee });
      if (now > committee.patientUntilMs && committee.seats.size === 0) this.#advance(committee);
    }
    if (now > this.#nextSweepMs) {
      this.#nextSweepMs = now + SWEEP_MS;
      this.#background(this.#sweep());
      this.#tellLongWaits(now);
    }
    this.pump();
  }

  #expire(taken: Taken): void {
    const { seat, committee } = taken;
    // It waited long enough for the others: what was found so far may be shown.
    if (seat.commitment !== undefined && !seat.revealing) return this.#seats.reveal(committee);
    seat.session.send({ type: 'cancel', id: seat.lease });
    this.#failed(taken, new PoolError('TIMEOUT', `not finished within ${this.#options.leaseMs} ms`));
  }

  /** Whatever waits in the store has its job, also after Redis was down, emptied or restored from an old file. */
  async #sweep(): Promise<void> {
    const { submissions, queue, chain, heldOut } = this.#parts;
    const held = new Set([...this.#committees].map((committee) => committee.held?.data.id));
    for (const id of heldOut.due()) if (!held.has(id)) await queue.add({ kind: 'held-out', id });
    for (const { id, state } of submissions.pending())
      if (state === 'queued' || (state === 'evaluating' && !held.has(toHex(id))))
        await queue.add({ kind: 'submission', id: toHex(id) });
    const root = toHex(chain.sealed.root);
    if (this.#heads.due().length > 0 && !this.#settlement.isUnmeasurable(root) && !held.has(root))
      await queue.add({ kind: 'head', id: root });
  }

  #tellLongWaits(now: number): void {
    const why = this.#seating.waiting();
    const judged = this.#parts.submissions.pending().filter(isToBeJudged);
    const all = new Map(judged.map((record) => [toHex(record.id), why(record)]));
    for (const told of this.#longWaits.look(now, all)) this.#events.onLongWait(...told);
  }

  /** Why the workers attached now cannot judge a submission; null where they can, or it is not to be judged. */
  waiting(record: SubmissionRecord): Waiting | null {
    return isToBeJudged(record) ? this.#seating.waiting()(record) : null;
  }

  /** A submission that still tests a worker: its weights are needed. */
  isCanary(submission: Uint8Array): boolean {
    const id = toHex(submission);
    return [...this.#committees].some(({ known, job }) => known && job.record && toHex(job.record.id) === id);
  }

  #background(work: Promise<void>): void {
    const settled = work
      .catch((error) => this.#events.onFault('an evaluation could not be finished', error))
      .finally(() => this.#running.delete(settled));
    this.#running.add(settled);
  }
}

const isToBeJudged = ({ state }: SubmissionRecord) => state === 'queued' || state === 'evaluating';
