import type { Reputations } from '#coordinator/dispatch/reputations.ts';
import type { Workers } from '#coordinator/dispatch/workers.ts';
import type { Heard } from '#coordinator/evaluation/check-result.ts';
import type { Committee } from '#coordinator/evaluation/committee.ts';
import type { JobParts } from '#coordinator/evaluation/describe-job.ts';
import type { HeadLoss, HeadLosses } from '#coordinator/evaluation/head-losses.ts';
import { type Agreed, addCosts, costOf, judge } from '#coordinator/evaluation/judge.ts';
import type { Seats } from '#coordinator/evaluation/seats.ts';
import type { Waiting } from '#coordinator/evaluation/waiting.ts';
import type { EvaluationCost, StateChange, SubmissionRecord } from '#coordinator/store/submissions.ts';
import { equalBytes, toHex } from '#shared/crypto/bytes.ts';
import { PUBLIC_KEY_BYTES } from '#shared/crypto/keys.ts';
import { PoolError } from '#shared/errors/pool-error.ts';
import { isFinal } from '#shared/lifecycle.ts';
import { agree } from '#shared/pol/quorum.ts';
import { isRechecked } from '#shared/pol/reputation.ts';

/** What became of a worker's result. */
export type ResultOutcome = 'agreed' | 'outvoted' | 'late' | 'canary-right' | 'canary-wrong';

export interface EvaluationEvents {
  /** The gate passed on the current head. */
  onPassed(record: SubmissionRecord): void;
  onHeadLoss(loss: HeadLoss): void;
  onProgress(record: SubmissionRecord, progress: { done: number; total: number }): void;
  onEvaluated(ms: number): void;
  onResult(outcome: ResultOutcome): void;
  /** What it took to judge a submission, or a part of it. */
  onCost(cost: EvaluationCost): void;
  /** Tokens through the model that judged no submission. */
  onTokens(purpose: 'head' | 'canary' | 'held-out', tokens: number): void;
  /** The weights of this submission test nobody any more. */
  onCanaryEnd(submission: Uint8Array): void;
  /** A submission has waited for long, as its open seats cannot be taken. Once of each. */
  onLongWait(submission: string, waiting: Waiting): void;
  onFault(message: string, error: unknown): void;
}

export interface SettlementParts extends JobParts {
  readonly workers: Workers;
  readonly reputations: Reputations;
  readonly seats: Seats;
  readonly heads: HeadLosses;
  readonly now: () => number;
}

/** What follows from what a committee found: verdict, reputations, another round, or the end of a submission. */
export class Settlement {
  readonly #options: { readonly leaseMs: number; readonly maxCrashes: number; readonly canaryOneIn: number };
  readonly #parts: SettlementParts;
  readonly #events: EvaluationEvents;
  /** Failed measurements of one head. */
  #headFailures = { root: '', count: 0 };

  constructor(
    options: { readonly leaseMs: number; readonly maxCrashes: number; readonly canaryOneIn: number },
    parts: SettlementParts,
    events: EvaluationEvents,
  ) {
    this.#options = options;
    this.#parts = parts;
    this.#events = events;
  }

  /** Tells whether the committee goes on. */
  async settle(committee: Committee, failure?: PoolError): Promise<boolean> {
    if (committee.known) return this.#testWorker(committee, committee.known);
    if (await this.#isOver(committee)) return this.#dissolve(committee);
    if (this.isStale(committee)) return this.#restart(committee);
    if (committee.heard.length === 0) return this.#nothingHeard(committee, failure);
    const decision = committee.decide();
    if (decision.kind === 'agreed') return this.#agreed(committee, decision);
    const now = this.#parts.now();
    if (decision.kind === 'open' && now <= committee.patientUntilMs) {
      committee.wanted = committee.heard.length + decision.missing;
      // Too few workers are waited for as long as it takes; too few to settle a disagreement are not.
      if (committee.heard.length >= committee.job.quorum.needed) this.#wait(committee);
      return true;
    }
    // Nobody can tell who is right: another committee, a few times.
    committee.patientUntilMs = Number.POSITIVE_INFINITY;
    committee.discard();
    committee.crashes += 1;
    return this.#nothingHeard(committee, new PoolError('ATTESTATION', 'the workers do not agree'));
  }

  #wait(committee: Committee): void {
    const patient = this.#parts.now() + this.#options.leaseMs;
    committee.patientUntilMs = Math.min(committee.patientUntilMs, patient);
  }

  /** Its head or its Meta block is the newest no more. One that measures a head may finish what it began on it. */
  isStale({ job, known, seats, heard }: Committee): boolean {
    if (known || job.kind === 'held-out') return false;
    if (job.model.meta !== toHex(this.#parts.chain.meta.hash)) return true;
    if (job.kind === 'head' && (seats.size > 0 || heard.length > 0)) return false;
    return !equalBytes(job.target.head, this.#parts.chain.sealed.position.hash);
  }

  /** As many failures as a submission may cause, and nobody to say that it can be evaluated. */
  isHopeless(committee: Committee): boolean {
    const { job, heard, seats, crashes } = committee;
    const committed = [...seats.values()].some(({ commitment }) => commitment !== undefined);
    const before = job.record?.crashes ?? 0;
    return heard.length === 0 && !committed && before + crashes >= this.#options.maxCrashes;
  }

  isUnmeasurable(root: string): boolean {
    return this.#headFailures.root === root && this.#headFailures.count >= this.#options.maxCrashes;
  }

  /** Leaves a job to a later committee. */
  async putBack(committee: Committee): Promise<void> {
    const { job, crashes, known } = committee;
    this.#parts.seats.cancel(committee);
    if (job.record && !known) {
      const cost = this.#account(committee);
      await this.#backToQueue(job.record, { crashes: job.record.crashes + crashes, cost });
    }
    await committee.held?.giveBack();
  }

  /** Something else ended the submission meanwhile. */
  async #isOver({ job }: Committee): Promise<boolean> {
    const record = job.record && (await this.#parts.submissions.get(job.record.id));
    return record !== null && (record === undefined || isFinal(record.state));
  }

  async #dissolve(committee: Committee): Promise<false> {
    this.#parts.seats.cancel(committee);
    this.#account(committee);
    await committee.held?.complete();
    return false;
  }

  async #restart(committee: Committee): Promise<false> {
    if (committee.job.record) await this.putBack(committee);
    else await committee.held?.complete();
    return false;
  }

  async #nothingHeard(committee: Committee, failure: PoolError | undefined): Promise<boolean> {
    const { job, crashes } = committee;
    if (job.kind === 'head') return failure ? this.#headFailed(committee) : true;
    const isHopeless = failure !== undefined && this.isHopeless(committee);
    if (!job.record) return isHopeless ? this.#recheckFailed(committee) : true;
    if (isHopeless) return this.#crashed(committee, failure);
    await this.#backToQueue(job.record, { crashes: job.record.crashes + crashes });
    return true;
  }

  async #headFailed(committee: Committee): Promise<false> {
    const root = toHex(committee.job.target.candidateRoot);
    const { root: before, count } = this.#headFailures;
    this.#headFailures = { root, count: root === before ? count + 1 : 1 };
    await committee.held?.complete();
    return false;
  }

  /** What is sealed is not refused any more: it is tried again later, for as long as it takes. */
  async #recheckFailed(committee: Committee): Promise<false> {
    this.#parts.seats.cancel(committee);
    this.#parts.heldOut.failed(toHex(committee.job.target.submission));
    await committee.held?.complete();
    return false;
  }

  /** A submission that takes every evaluator down must not block the queue. */
  async #crashed(committee: Committee, failure: PoolError): Promise<false> {
    this.#parts.seats.cancel(committee);
    const record = committee.job.record as SubmissionRecord;
    const crashes = record.crashes + committee.crashes;
    const error = new PoolError(
      'EVALUATION_CRASHED',
      `${crashes} evaluations failed, the last with ${failure.code}`,
    );
    const cost = this.#account(committee);
    const end = { crashes, cost, error: error.toObject() as never };
    await this.#parts.submissions.move(record.id, 'rejected', end);
    await committee.held?.complete();
    return false;
  }

  async #agreed(committee: Committee, agreed: Agreed): Promise<boolean> {
    if (committee.job.kind === 'held-out') return this.#rechecked(committee, agreed);
    if (!committee.job.record) return this.#headMeasured(committee, agreed.agreeing[0] as Heard);
    const isCanary = this.#makesCanary(committee, agreed);
    // Before the record moves: whoever hears of its end asks whether its weights are needed.
    if (isCanary) {
      committee.known = agreed.agreeing[0] as Heard;
      this.#wait(committee);
    }
    const cost = this.#account(committee);
    const record = await judge(this.#parts.submissions, committee, { ...agreed, cost });
    if (record.state === 'evaluated') this.#events.onPassed(record);
    await committee.held?.complete();
    committee.held = undefined;
    await this.#remember(committee, agreed);
    committee.wanted = committee.heard.length + 1;
    return isCanary;
  }

  /** An agreement takes two; whoever was asked and did not answer what others answered was late. */
  async #remember(committee: Committee, { agreeing, outvoted }: Agreed): Promise<void> {
    const { reputations } = this.#parts;
    for (const { worker } of agreeing) {
      this.#events.onResult('agreed');
      if (agreeing.length > 1) await reputations.agreed(worker);
    }
    for (const { worker } of outvoted) {
      this.#events.onResult('outvoted');
      await reputations.disagreed(worker);
    }
    for (const { publicKey } of committee.failed.values()) {
      this.#events.onResult('late');
      await reputations.timedOut(publicKey);
    }
  }

  /** A result that two or more found is a known one: a worker that has not seen it can be held against it. */
  #makesCanary(committee: Committee, { agreeing }: Agreed): boolean {
    const { chain, workers } = this.#parts;
    const { target } = committee.job;
    if (agreeing.length < 2) return false;
    const isDrawn = isRechecked(
      chain.networkId,
      { ...target, worker: new Uint8Array(PUBLIC_KEY_BYTES) },
      this.#options.canaryOneIn,
    );
    const another = (session: Parameters<Committee['admits']>[0]) =>
      committee.admits(session) && !committee.failed.has(session.address);
    return isDrawn && workers.withRole('evaluate').some(another);
  }

  async #testWorker(committee: Committee, known: Heard): Promise<false> {
    const { reputations } = this.#parts;
    const result = committee.heard.at(-1) as Heard;
    const isNew = committee.heard.length === committee.wanted;
    const isRight = agree(result, known, committee.job.quorum.toleranceMicroNats);
    if (isNew) {
      this.#events.onTokens('canary', result.tokens);
      this.#events.onResult(isRight ? 'canary-right' : 'canary-wrong');
      await (isRight ? reputations.agreed(result.worker) : reputations.disagreed(result.worker));
    }
    this.#events.onCanaryEnd(committee.job.target.submission);
    return false;
  }

  async #rechecked(committee: Committee, agreed: Agreed): Promise<false> {
    const { tokens } = costOf(committee);
    const attestations = agreed.agreeing.map(({ worker, backend, base, candidate, signature }) => ({
      ...{ worker, backend, base, candidate, signature },
    }));
    const submission = toHex(committee.job.target.submission);
    this.#events.onTokens('held-out', tokens);
    const owners = agreed.agreeing.map(({ owner }) => owner);
    await this.#parts.heldOut.found(submission, { attestations, owners, tokens });
    await committee.held?.complete();
    await this.#remember(committee, agreed);
    return false;
  }

  /** What its certificate says of a head is known: a measurement that differs is wrong. */
  async #headMeasured(committee: Committee, heard: Heard): Promise<boolean> {
    const { target, certified, quorum } = committee.job;
    this.#events.onTokens('head', heard.tokens);
    const isWrong = heard.windows.some((window, i) => {
      const known = certified.get(window);
      const loss = heard.candidate[i] ?? null;
      return known !== undefined && (loss === null || Math.abs(loss - known) > quorum.toleranceMicroNats);
    });
    const { verdict } = heard;
    if (isWrong || !verdict || verdict.stop === 'not-finite') {
      if (isWrong) await this.#parts.reputations.disagreed(heard.worker);
      this.#events.onResult('outvoted');
      return this.#headFailed(committee);
    }
    const { height, submission } = target;
    const { windows } = heard;
    const loss = { height, microNats: verdict.meanCandidateMicroNats, submission };
    await this.#parts.heads.measured({ ...loss, windows: windows.length });
    await committee.held?.complete();
    return false;
  }

  async #backToQueue({ id }: SubmissionRecord, change: Pick<StateChange, 'crashes' | 'cost'>): Promise<void> {
    const { submissions } = this.#parts;
    if ((await submissions.get(id))?.state === 'evaluating')
      await submissions.move(id, 'queued', { from: 'evaluating', ...change });
  }

  /** All that the submission has cost so far, with what this committee heard, which is told once. */
  #account(committee: Committee): EvaluationCost {
    const cost = costOf(committee);
    this.#events.onCost(cost);
    this.#parts.heads.judged(cost.tokens);
    return addCosts(committee.job.record?.cost, cost);
  }
}
