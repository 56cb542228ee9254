import type { Chain } from '#coordinator/chain/chain.ts';
import type { Salts } from '#coordinator/chain/salts.ts';
import type { HeldJob, JobQueue } from '#coordinator/dispatch/job-queue.ts';
import { modelMessage, tensorMessage } from '#coordinator/dispatch/model-ref.ts';
import type { WorkerSession } from '#coordinator/dispatch/worker-session.ts';
import type { WorkerListener, Workers } from '#coordinator/dispatch/workers.ts';
import {
  type CheckedResult,
  checkResult,
  type EvaluatedMessage,
  type LeaseTarget,
} from '#coordinator/evaluation/check-result.ts';
import { type DescribedJob, describeJob } from '#coordinator/evaluation/describe-job.ts';
import type { SubmissionRecord, Submissions } from '#coordinator/store/submissions.ts';
import { equalBytes, toHex } from '#shared/crypto/bytes.ts';
import { PoolError } from '#shared/errors/pool-error.ts';
import type { FromWorker } from '#shared/protocol/worker.ts';

export interface EvaluationOptions {
  /** A lease that is not finished by then is taken back. */
  readonly leaseMs: number;
  /** How often the locks of running leases are extended, and the queue is looked at. */
  readonly tickMs: number;
  /** A submission whose evaluation ends abnormally this often is refused. */
  readonly maxCrashes: number;
}

export const EVALUATION_DEFAULTS: EvaluationOptions = { leaseMs: 600_000, tickMs: 1_000, maxCrashes: 3 };

export interface EvaluationEvents {
  /** The gate passed on the current head. */
  onPassed(record: SubmissionRecord): void;
  onHeadLoss(loss: { height: number; microNats: number; submission: Uint8Array | null }): void;
  onProgress(record: SubmissionRecord, progress: { done: number; total: number }): void;
  onEvaluated(ms: number): void;
  onFault(message: string, error: unknown): void;
}

/** How often the store's queued submissions are compared with the queue. */
const SWEEP_MS = 5_000;

interface Lease {
  readonly id: string;
  readonly session: WorkerSession;
  readonly target: LeaseTarget;
  readonly expiresMs: number;
  held: HeldJob;
  /** Null where the head itself is measured. */
  record: SubmissionRecord | null;
}

export interface EvaluationParts {
  readonly queue: JobQueue;
  readonly workers: Workers;
  readonly chain: Chain;
  readonly salts: Salts;
  readonly submissions: Submissions;
  readonly now: () => number;
}

/**
 * The evaluation stage: hands queued submissions (and new heads, to be measured) to workers that are ready, and turns
 * what they sign into a verdict. Losses come from workers; whether they suffice is decided here, by the gate. What
 * waits stands in the store; the queue only says whose turn it is, and is filled again whenever it forgets.
 */
export class EvaluationStage implements WorkerListener {
  readonly #options: EvaluationOptions;
  readonly #parts: EvaluationParts;
  readonly #events: EvaluationEvents;
  readonly #leases = new Map<string, Lease>();
  readonly #running = new Set<Promise<void>>();
  /** Failed measurements of one head. */
  #headFailures = { root: '', count: 0 };
  #lastLease = 0;
  #pumping: Promise<void> | undefined;
  #again = false;
  #closed = false;
  #nextSweepMs = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor(options: EvaluationOptions, parts: EvaluationParts, events: EvaluationEvents) {
    this.#options = options;
    this.#parts = parts;
    this.#events = events;
  }

  start(): void {
    this.#timer = setInterval(() => this.#tick(), this.#options.tickMs);
  }

  /** Gives every lease back. */
  async close(): Promise<void> {
    this.#closed = true;
    clearInterval(this.#timer);
    await this.#pumping;
    for (const lease of this.#leases.values()) this.#background(this.#giveBack(lease));
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

  /** Has the head's loss over the whole public validation set measured. */
  async measureHead(): Promise<void> {
    await this.#add({ kind: 'head', id: toHex(this.#parts.chain.sealed.root) });
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
    for (const lease of this.#leases.values())
      if (lease.session === session) this.#background(this.#giveBack(lease));
  }

  onMessage(session: WorkerSession, message: FromWorker): void {
    if (message.type !== 'evaluated' && message.type !== 'failed' && message.type !== 'progress') return;
    const lease = this.#leases.get(message.lease);
    if (!lease || lease.session !== session) {
      if (message.type === 'progress') return; // crossed the cancel on its way
      throw new PoolError('LEASE_UNKNOWN', `this worker does not hold lease ${message.lease}`);
    }
    if (message.type === 'progress') {
      if (lease.record) this.#events.onProgress(lease.record, { done: message.done, total: message.total });
      return;
    }
    this.#end(lease);
    if (message.type === 'failed') this.#background(this.#failed(lease, message.error));
    else this.#evaluated(lease, message);
  }

  /** Hands out jobs while workers are ready. One run at a time; a call meanwhile makes it look once more. */
  pump(): void {
    if (this.#closed) return;
    this.#again = true;
    this.#pumping ??= this.#pumpAll().finally(() => {
      this.#pumping = undefined;
    });
  }

  async #pumpAll(): Promise<void> {
    while (this.#again) {
      this.#again = false;
      try {
        while (await this.#handOutOne());
      } catch (error) {
        this.#events.onFault('an evaluation could not be handed out', error);
      }
    }
  }

  async #handOutOne(): Promise<boolean> {
    if (this.#closed || !this.#readySession()) return false;
    const held = await this.#parts.queue.take();
    if (!held) return false;
    const running = this.#leaseOf(held);
    if (running) {
      // Its lock ran out, or Redis forgot it: the lease goes on under the new lock.
      running.held = held;
      return true;
    }
    const job = await describeJob(this.#parts, held.data);
    const session = this.#closed ? undefined : this.#readySession();
    if (!job) await held.complete();
    else if (!session) await held.giveBack();
    else await this.#grant(session, held, job);
    return true;
  }

  #leaseOf({ data }: HeldJob): Lease | undefined {
    return [...this.#leases.values()].find(
      ({ held }) => held.data.kind === data.kind && held.data.id === data.id,
    );
  }

  /** The ready worker that has least to do. */
  #readySession(): WorkerSession | undefined {
    const ready = this.#parts.workers.sessions().filter((s) => s.ready.evaluate > 0);
    return ready.sort((a, b) => a.holds.evaluate - b.holds.evaluate)[0];
  }

  /** The lease stands before anything is awaited: a worker that is lost meanwhile gives it back. */
  async #grant(session: WorkerSession, held: HeldJob, job: DescribedJob): Promise<void> {
    const { chain, submissions, now } = this.#parts;
    const { target, changed, record } = job;
    session.ready.evaluate -= 1;
    session.holds.evaluate += 1;
    const id = `evaluation-${++this.#lastLease}`;
    const lease: Lease = { id, held, session, record, target, expiresMs: now() + this.#options.leaseMs };
    this.#leases.set(id, lease);
    if (record?.state === 'queued') lease.record = await submissions.move(record.id, 'evaluating');
    if (this.#leases.get(id) !== lease) return;
    session.send({
      type: 'evaluate',
      lease: id,
      submission: toHex(target.submission),
      head: toHex(target.head),
      model: modelMessage(chain.meta, chain.sealed),
      changed: changed.map(tensorMessage),
      candidateRoot: toHex(target.candidateRoot),
      windows: [...target.windows],
    });
  }

  /** A result that does not hold is the worker's fault alone: the gateway counts it, the job goes to another. */
  #evaluated(lease: Lease, message: EvaluatedMessage): void {
    const result = checkResult(this.#parts.chain, lease.target, { message, worker: lease.session });
    if (!result.ok && result.error.code === 'ATTESTATION') {
      this.#events.onFault(`worker ${lease.session.address} sent a result that does not hold`, result.error);
      this.#background(this.#requeue(lease));
      throw result.error;
    }
    this.#events.onEvaluated(message.ms);
    this.#background(this.#finish(lease, result));
  }

  async #finish(lease: Lease, result: CheckedResult): Promise<void> {
    const { chain } = this.#parts;
    const { record, target, held } = lease;
    if (record === null) {
      if (!result.ok) return this.#failed(lease, result.error.toObject());
      const microNats = result.verdict.meanCandidateMicroNats;
      this.#events.onHeadLoss({ height: target.height, microNats, submission: target.submission });
      return held.complete();
    }
    // The head moved meanwhile: judged again, against the model it now competes with.
    if (result.ok && !equalBytes(target.head, chain.sealed.position.hash)) return this.#requeue(lease);
    await this.#judge(record, result);
    await held.complete();
    this.pump();
  }

  async #judge(record: SubmissionRecord, result: CheckedResult): Promise<void> {
    const { submissions, chain } = this.#parts;
    const from = 'evaluating';
    if (!result.ok) {
      await submissions.move(record.id, 'rejected', { from, error: result.error.toObject() as never });
      return;
    }
    const { verdict } = result;
    if (verdict.passed) {
      this.#events.onPassed(await submissions.move(record.id, 'evaluated', { from, verdict }));
      return;
    }
    const error = new PoolError(
      'GATE_NOT_BETTER',
      `the loss went from ${nats(verdict.meanBaseMicroNats)} to ${nats(verdict.meanCandidateMicroNats)} nats; expected it to fall by ${nats(chain.meta.manifest.gate.delta_micro_nats)} and the margin of ${nats(verdict.marginMicroNats)}`,
      { gain_micro_nats: verdict.meanGainMicroNats, margin_micro_nats: verdict.marginMicroNats },
    );
    await submissions.move(record.id, 'rejected', { from, verdict, error: error.toObject() as never });
  }

  async #failed(lease: Lease, error: unknown): Promise<void> {
    const failure = PoolError.fromObject(error);
    this.#events.onFault(`worker ${lease.session.address} could not evaluate`, failure);
    if (lease.record !== null) return this.#crashed(lease, failure);
    const { root, count } = this.#headFailures;
    const { id } = lease.held.data;
    this.#headFailures = { root: id, count: root === id ? count + 1 : 1 };
    await lease.held.complete();
  }

  /** Another try, or the end: a submission that takes every evaluator down must not block the queue. */
  async #crashed(lease: Lease, failure: PoolError): Promise<void> {
    const { submissions } = this.#parts;
    const record = lease.record as SubmissionRecord;
    const crashes = record.crashes + 1;
    if (crashes < this.#options.maxCrashes) return this.#requeue(lease, { crashes });
    const error = new PoolError(
      'EVALUATION_CRASHED',
      `${crashes} evaluations failed, the last with ${failure.code}`,
    );
    await submissions.move(record.id, 'rejected', { crashes, error: error.toObject() as never });
    await lease.held.complete();
    this.pump();
  }

  #end(lease: Lease): void {
    this.#leases.delete(lease.id);
    lease.session.holds.evaluate -= 1;
  }

  #giveBack(lease: Lease): Promise<void> {
    this.#end(lease);
    return this.#requeue(lease);
  }

  async #requeue({ record, held }: Lease, change: { crashes?: number } = {}): Promise<void> {
    if (record) await this.#parts.submissions.move(record.id, 'queued', { from: 'evaluating', ...change });
    await held.giveBack();
    this.pump();
  }

  #tick(): void {
    const now = this.#parts.now();
    for (const lease of this.#leases.values()) {
      // A lock that is lost comes back as the same job, and is bound to its lease again.
      if (now <= lease.expiresMs) lease.held.extend().catch(() => undefined);
      else this.#expire(lease);
    }
    if (now > this.#nextSweepMs) {
      this.#nextSweepMs = now + SWEEP_MS;
      this.#background(this.#sweep());
    }
    this.pump();
  }

  #expire(lease: Lease): void {
    lease.session.send({ type: 'cancel', id: lease.id });
    this.#end(lease);
    const late = new PoolError('TIMEOUT', `not finished within ${this.#options.leaseMs} ms`);
    this.#background(this.#failed(lease, late.toObject()));
  }

  /** Whatever waits in the store has its job, also after Redis was down, emptied or restored from an old file. */
  async #sweep(): Promise<void> {
    const { submissions, queue, chain } = this.#parts;
    const leased = new Set([...this.#leases.values()].map(({ held }) => held.data.id));
    for (const { id, state } of submissions.pending())
      if (state === 'queued' || (state === 'evaluating' && !leased.has(toHex(id))))
        await queue.add({ kind: 'submission', id: toHex(id) });
    const root = toHex(chain.sealed.root);
    const hopeless = this.#headFailures.root === root && this.#headFailures.count >= this.#options.maxCrashes;
    if (chain.measuredHeight !== chain.height('B') && !hopeless && !leased.has(root))
      await queue.add({ kind: 'head', id: root });
  }

  #background(work: Promise<void>): void {
    const settled = work
      .catch((error) => this.#events.onFault('an evaluation could not be finished', error))
      .finally(() => this.#running.delete(settled));
    this.#running.add(settled);
  }
}

/** Micro-nats → nats, for people to read. */
const nats = (microNats: number): string => (microNats / 1e6).toFixed(4);
