import type { Chain } from '#coordinator/chain/chain.ts';
import type { Salts } from '#coordinator/chain/salts.ts';
import { modelMessage, tensorMessage } from '#coordinator/dispatch/model-ref.ts';
import type { WorkerSession } from '#coordinator/dispatch/worker-session.ts';
import type { WorkerListener, Workers } from '#coordinator/dispatch/workers.ts';
import {
  type CheckedResult,
  checkResult,
  type EvaluatedMessage,
  type LeaseTarget,
} from '#coordinator/evaluation/check-result.ts';
import type { EvaluationJob, HeldJob } from '#coordinator/queue/evaluation-queue.ts';
import type { SubmissionRecord, Submissions } from '#coordinator/store/submissions.ts';
import { decodeParameterBody } from '#shared/block/body.ts';
import { equalBytes, fromHex, toHex } from '#shared/crypto/bytes.ts';
import { PoolError } from '#shared/errors/pool-error.ts';
import { windowsOf } from '#shared/pol/certificate.ts';
import type { FromWorker } from '#shared/protocol/worker.ts';
import { modelRoot, type TensorRef } from '#shared/weights/model-root.ts';

export interface EvaluationOptions {
  /** A lease that is not finished by then is taken back. */
  readonly leaseMs: number;
  /** How often the locks of running leases are extended, and the queue is looked at. */
  readonly tickMs: number;
  /** A submission whose evaluation ends abnormally this often is refused. */
  readonly maxCrashes: number;
}

export const EVALUATION_DEFAULTS: EvaluationOptions = { leaseMs: 600_000, tickMs: 1_000, maxCrashes: 3 };

export interface JobQueue {
  add(data: EvaluationJob): Promise<void>;
  take(): Promise<HeldJob | null>;
  extend(held: HeldJob): Promise<void>;
  complete(held: HeldJob): Promise<void>;
  giveBack(held: HeldJob): Promise<void>;
}

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
  readonly held: HeldJob;
  readonly session: WorkerSession;
  readonly record: SubmissionRecord | null;
  readonly target: LeaseTarget;
  readonly expiresMs: number;
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
 * what they sign into a verdict. Losses come from workers; whether they suffice is decided here, by the gate.
 */
export class EvaluationStage implements WorkerListener {
  readonly #options: EvaluationOptions;
  readonly #parts: EvaluationParts;
  readonly #events: EvaluationEvents;
  readonly #leases = new Map<string, Lease>();
  #lastLease = 0;
  #pumping: Promise<void> | undefined;
  #again = false;
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
    clearInterval(this.#timer);
    await this.#pumping;
    await Promise.allSettled([...this.#leases.values()].map((lease) => this.#giveBack(lease)));
  }

  /** Brings a submission into the queue; also again, when the head has moved under it. */
  async enqueue(record: SubmissionRecord): Promise<void> {
    const { submissions, queue } = this.#parts;
    if (record.state !== 'queued') await submissions.move(record.id, 'queued');
    await queue.add({ kind: 'submission', id: toHex(record.id) });
    this.pump();
  }

  /** Has the head's loss over the whole public validation set measured. */
  async measureHead(): Promise<void> {
    await this.#parts.queue.add({ kind: 'head', id: toHex(this.#parts.chain.sealed.root) });
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
    if (!lease || lease.session !== session)
      throw new PoolError('LEASE_UNKNOWN', `this worker does not hold lease ${message.lease}`);
    if (message.type === 'progress') {
      if (lease.record) this.#events.onProgress(lease.record, { done: message.done, total: message.total });
      return;
    }
    this.#end(lease);
    this.#background(
      message.type === 'evaluated' ? this.#finish(lease, message) : this.#failed(lease, message.error),
    );
  }

  /** Hands out jobs while workers are ready. One run at a time; a call meanwhile makes it look once more. */
  pump(): void {
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
    if (!this.#readySession()) return false;
    const held = await this.#parts.queue.take();
    if (!held) return false;
    const session = this.#readySession();
    const job = await this.#describe(held.data);
    if (!job) await this.#parts.queue.complete(held);
    else if (!session) await this.#parts.queue.giveBack(held);
    else await this.#grant(session, held, job);
    return true;
  }

  /** The ready worker that has least to do. */
  #readySession(): WorkerSession | undefined {
    const ready = this.#parts.workers.sessions().filter((s) => s.ready.evaluate > 0);
    return ready.sort((a, b) => a.holds.evaluate - b.holds.evaluate)[0];
  }

  /** What a job is about now; null where it has become void. */
  async #describe(
    data: EvaluationJob,
  ): Promise<{ record: SubmissionRecord | null; target: LeaseTarget; changed: readonly TensorRef[] } | null> {
    const { chain, submissions, salts } = this.#parts;
    const { sealed, meta, networkId } = chain;
    const base = { head: sealed.position.hash, baseRoot: sealed.root, height: sealed.position.index };
    if (data.kind === 'head') {
      if (data.id !== toHex(sealed.root)) return null;
      const windows = Array.from({ length: meta.manifest.validation.windows }, (_, i) => i);
      const submission = await this.#sealedBy();
      return {
        record: null,
        changed: [],
        target: { ...base, submission, candidateRoot: sealed.root, windows, salt: new Uint8Array(32) },
      };
    }
    const record = await submissions.get(fromHex(data.id, 32));
    if (!record || (record.state !== 'queued' && record.state !== 'evaluating')) return null;
    const salt = salts.reveal(sealed.position.index, sealed.saltHash);
    const tensors = new Map<string, TensorRef>(sealed.tensors);
    for (const tensor of record.tensors) tensors.set(tensor.name, tensor);
    const candidateRoot = modelRoot(tensors.values());
    const windows = windowsOf(networkId, { submission: record.id, head: base.head, salt }, meta.manifest);
    return {
      record,
      changed: record.tensors,
      target: { ...base, submission: record.id, candidateRoot, windows, salt },
    };
  }

  /** Submission that sealed the head: what the head's measurement is signed for. */
  async #sealedBy(): Promise<Uint8Array> {
    const { chain } = this.#parts;
    const block = await chain.block('B', chain.sealed.position.index);
    return block ? decodeParameterBody(block.body).submission : new Uint8Array(32);
  }

  async #grant(
    session: WorkerSession,
    held: HeldJob,
    job: { record: SubmissionRecord | null; target: LeaseTarget; changed: readonly TensorRef[] },
  ): Promise<void> {
    const { chain, submissions, now } = this.#parts;
    const { target, changed } = job;
    session.ready.evaluate -= 1;
    session.holds.evaluate += 1;
    const id = `evaluation-${++this.#lastLease}`;
    const lease = { id, held, session, record: job.record, target, expiresMs: now() + this.#options.leaseMs };
    this.#leases.set(id, lease);
    if (job.record?.state === 'queued') await submissions.move(job.record.id, 'evaluating');
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

  async #finish(lease: Lease, message: EvaluatedMessage): Promise<void> {
    const { chain, queue } = this.#parts;
    const result = checkResult(chain, lease.target, { message, worker: lease.session });
    this.#events.onEvaluated(message.ms);
    if (lease.record === null) {
      await queue.complete(lease.held);
      if (result.ok)
        this.#events.onHeadLoss({
          height: lease.target.height,
          microNats: result.verdict.meanCandidateMicroNats,
          submission: lease.target.submission,
        });
      return;
    }
    if (!result.ok && result.error.code === 'ATTESTATION') {
      this.#events.onFault(`worker ${lease.session.address} sent a result that does not hold`, result.error);
      await this.#crashed(lease, result.error);
      return;
    }
    // The head moved meanwhile: judged again, against the model it now competes with.
    const stale = result.ok && !equalBytes(lease.target.head, chain.sealed.position.hash);
    if (stale) {
      await this.#parts.submissions.move(lease.record.id, 'queued');
      await queue.giveBack(lease.held);
    } else {
      await this.#judge(lease.record, result);
      await queue.complete(lease.held);
    }
    this.pump();
  }

  async #judge(record: SubmissionRecord, result: CheckedResult): Promise<void> {
    const { submissions, chain } = this.#parts;
    if (!result.ok) {
      await submissions.move(record.id, 'rejected', { error: result.error.toObject() as never });
      return;
    }
    const { verdict } = result;
    if (verdict.passed) {
      this.#events.onPassed(await submissions.move(record.id, 'evaluated', { verdict }));
      return;
    }
    const error = new PoolError(
      'GATE_NOT_BETTER',
      `the loss went from ${verdict.meanBaseMicroNats} to ${verdict.meanCandidateMicroNats} micro-nats; expected a gain of at least ${chain.meta.manifest.gate.delta_micro_nats} beyond a margin of ${verdict.marginMicroNats}`,
      { gain_micro_nats: verdict.meanGainMicroNats, margin_micro_nats: verdict.marginMicroNats },
    );
    await submissions.move(record.id, 'rejected', { verdict, error: error.toObject() as never });
  }

  async #failed(lease: Lease, error: unknown): Promise<void> {
    const failure = PoolError.fromObject(error);
    this.#events.onFault(`worker ${lease.session.address} could not evaluate`, failure);
    if (lease.record === null) await this.#parts.queue.complete(lease.held);
    else await this.#crashed(lease, failure);
  }

  /** Another try, or the end: a submission that takes every evaluator down must not block the queue. */
  async #crashed(lease: Lease, failure: PoolError): Promise<void> {
    const { submissions, queue } = this.#parts;
    const record = lease.record as SubmissionRecord;
    const crashes = record.crashes + 1;
    if (crashes < this.#options.maxCrashes) {
      await submissions.move(record.id, 'queued', { crashes });
      await queue.giveBack(lease.held);
    } else {
      const error = new PoolError(
        'EVALUATION_CRASHED',
        `${crashes} evaluations failed, the last with ${failure.code}`,
      );
      await submissions.move(record.id, 'rejected', { crashes, error: error.toObject() as never });
      await queue.complete(lease.held);
    }
    this.pump();
  }

  #end(lease: Lease): void {
    this.#leases.delete(lease.id);
    lease.session.holds.evaluate -= 1;
  }

  async #giveBack(lease: Lease): Promise<void> {
    this.#end(lease);
    if (lease.record) await this.#parts.submissions.move(lease.record.id, 'queued');
    await this.#parts.queue.giveBack(lease.held);
    this.pump();
  }

  #tick(): void {
    const now = this.#parts.now();
    for (const lease of this.#leases.values()) {
      if (now > lease.expiresMs) {
        lease.session.send({ type: 'cancel', id: lease.id });
        this.#background(this.#giveBack(lease));
      } else this.#background(this.#parts.queue.extend(lease.held));
    }
    if (now > this.#nextSweepMs) {
      this.#nextSweepMs = now + SWEEP_MS;
      this.#background(this.#sweep());
    }
    this.pump();
  }

  /** Whatever waits in the store has its job, also after Redis was down, emptied or restored from an old file. */
  async #sweep(): Promise<void> {
    const { submissions, queue } = this.#parts;
    for (const record of submissions.pending())
      if (record.state === 'queued') await queue.add({ kind: 'submission', id: toHex(record.id) });
  }

  #background(work: Promise<void>): void {
    work.catch((error) => this.#events.onFault('an evaluation could not be finished', error));
  }
}
