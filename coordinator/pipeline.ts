import type { Chain } from '#coordinator/chain/chain.ts';
import type { CommitStage } from '#coordinator/commit/commit.ts';
import type { EvaluationStage } from '#coordinator/evaluation/evaluation.ts';
import type { MiningStage } from '#coordinator/mining/mining.ts';
import type { PayoutStage } from '#coordinator/payout/payout.ts';
import type { SubmissionRecord, Submissions } from '#coordinator/store/submissions.ts';
import { WriteLock } from '#coordinator/store/write-lock.ts';
import type { Upload } from '#coordinator/submission/entrance.ts';
import type { Intake } from '#coordinator/submission/intake.ts';
import type { PartsIntake } from '#coordinator/submission/parts-intake.ts';
import type { Spool } from '#coordinator/submission/spool.ts';
import type { VestingStage } from '#coordinator/vesting/vesting.ts';
import { equalBytes } from '#shared/crypto/bytes.ts';
import { ERRORS, type ErrorCode } from '#shared/errors/catalogue.ts';
import { PoolError } from '#shared/errors/pool-error.ts';
import { isFinal } from '#shared/lifecycle.ts';

export interface PipelineStages {
  readonly intake: Intake;
  readonly evaluation: EvaluationStage;
  readonly mining: MiningStage;
  readonly commit: CommitStage;
  readonly payout: PayoutStage;
  readonly vesting: VestingStage;
}

export interface PipelineState {
  readonly chain: Chain;
  readonly submissions: Submissions;
  readonly spool: Spool;
}

export interface CommitReport {
  readonly record: SubmissionRecord;
  readonly blocks: number;
  readonly commitMs: number;
  /** From the start of mining to the commit, without the search for nonces. */
  readonly overheadMs: number;
  readonly rewards: readonly { kind: string; amount: bigint }[];
}

export interface PipelineEvents {
  onCommitted(report: CommitReport): void;
  onFault(message: string, error: unknown): void;
}

/** After a fault of ours, the same submission is tried again this much later. */
const RETRY_MS = 2_000;

/**
 * The stages in order: received → queued → evaluating → evaluated → mining → mined → committed → paid, and at the end
 * of its epoch a sealed one is evaluated again, on text that nobody had seen. One submission mines at a time, since each builds on the head; evaluations run ahead and are judged again when the head moves.
 */
export class Pipeline {
  readonly #stages: PipelineStages;
  readonly #state: PipelineState;
  readonly #events: PipelineEvents;
  readonly #closing = new AbortController();
  readonly #changes = new WriteLock();
  #mining: Promise<void> | undefined;
  /** Ends the search for nonces, not a commit. */
  #halt = new AbortController();
  /** While the Meta block changes nothing is mined. */
  #changing = false;
  #retry: NodeJS.Timeout | undefined;

  constructor(stages: PipelineStages, state: PipelineState, events: PipelineEvents) {
    this.#stages = stages;
    this.#state = state;
    this.#events = events;
  }

  /** Takes up what was pending when the coordinator last stopped, however it stopped. */
  async start(): Promise<void> {
    await this.#stages.intake.start();
    for (const record of this.#state.submissions.pending()) await this.#resume(record);
    await this.#stages.vesting.start();
    this.#stages.evaluation.start();
    await this.#stages.evaluation.headMoved();
    await this.#stages.evaluation.recheck();
    this.mineNext();
  }

  /** Stops between two blocks; what is mined so far is mined again at the next start. */
  async close(): Promise<void> {
    this.#closing.abort(new PoolError('UNAVAILABLE', 'the coordinator stops'));
    await this.#stages.intake.close();
    clearTimeout(this.#retry);
    await this.#mining;
    await this.#stages.evaluation.close();
  }

  /** Receives an upload; when this resolves, it is durable and on its way. */
  async submit(upload: Upload, single: boolean): Promise<{ record: SubmissionRecord; isNew: boolean }> {
    const received = await this.#stages.intake.receive(upload, single);
    if (received.isNew) await this.#take(received.record);
    return received;
  }

  /**
   * Runs `change`, which makes a Meta block, while nothing is mined; then refuses what was submitted under the one
   * before, and has the head measured anew where its loss is not known. PROTOCOL §7.
   */
  async betweenSubmissions<T>(change: () => Promise<T>): Promise<T> {
    return this.#changes.run(async () => {
      this.#changing = true;
      try {
        this.#halt.abort(new PoolError('SUBMISSION_META', 'the Meta block changes'));
        await this.#mining;
        this.#closing.signal.throwIfAborted();
        const result = await change();
        for (const record of this.#state.submissions.pending()) await this.#refuseOlder(record);
        await this.#stages.vesting.sealed();
        await this.#stages.evaluation.headMoved();
        await this.#stages.evaluation.recheck();
        return result;
      } finally {
        this.#changing = false;
        this.#stages.evaluation.pump();
        this.mineNext();
      }
    });
  }

  /** To the queue, unless another Meta block rules since its header was read. */
  async #take(record: SubmissionRecord): Promise<void> {
    if (!(await this.#refuseOlder(record))) await this.#stages.evaluation.enqueue(record);
  }

  /** PROTOCOL §9: a miner signs for one Meta block; under another it may be paid otherwise. True where it was so. */
  async #refuseOlder({ id, meta }: SubmissionRecord): Promise<boolean> {
    const { submissions, chain } = this.#state;
    if (equalBytes(meta, chain.meta.hash)) return false;
    const record = await submissions.get(id);
    const message = `it was made for another Meta block than A${chain.meta.index}; send it again for this one`;
    if (record && !isFinal(record.state))
      await this.#reject(record, new PoolError('SUBMISSION_META', message));
    return true;
  }

  /** To be called where another key had claimed the same bytes before: a submission that is not being mined goes. */
  async outclaimed({ id }: SubmissionRecord): Promise<void> {
    const record = await this.#state.submissions.get(id);
    if (!record || !['received', 'queued', 'evaluating', 'evaluated'].includes(record.state)) return;
    const message = 'another key had claimed the same bytes before, and has sent them';
    await this.#reject(record, new PoolError('PAYLOAD_KNOWN', message));
  }

  /** What there is to know of uploads by parts. */
  get uploads(): Pick<PartsIntake, 'begin' | 'state'> {
    return this.#stages.intake.byParts;
  }

  /** A part of an upload; with the last one it is on its way. */
  async append(...part: Parameters<PartsIntake['append']>): ReturnType<PartsIntake['append']> {
    const state = await this.#stages.intake.byParts.append(...part);
    if (state.isNew && state.record) await this.#take(state.record);
    return state;
  }

  /** To be called when a submission passed the gate, and when the head moved. */
  mineNext(): void {
    if (this.#mining || this.#changing || this.#closing.signal.aborted) return;
    // What cannot be paid is not mined; it waits for a start that finds the ledger whole.
    if (!this.#stages.payout.mayPay) return;
    const next = this.#state.submissions.pending().find((record) => record.state === 'evaluated');
    if (!next) return;
    this.#mining = this.#mineAndCommit(next)
      .catch((error) => this.#failed(next, error))
      .catch((error) => this.#retryLater('a submission that failed could not be put back', error))
      .finally(() => {
        this.#mining = undefined;
        if (!this.#retry) this.mineNext();
      });
  }

  async #mineAndCommit(record: SubmissionRecord): Promise<void> {
    const { submissions, spool, chain } = this.#state;
    if (!this.#isCurrent(record)) return this.#judgeAgain(record);
    await submissions.move(record.id, 'mining');
    const startedMs = performance.now();
    const plan = await this.#stages.payout.plan(record);
    this.#halt = new AbortController();
    if (this.#changing) this.#halt.abort();
    const signal = AbortSignal.any([this.#closing.signal, this.#halt.signal]);
    const mined = await this.#stages.mining.mine(record, plan, signal);
    await submissions.move(record.id, 'mined');
    const minedMs = performance.now();
    await this.#stages.commit.commit(mined);
    const endMs = performance.now();
    this.#events.onCommitted({
      record: (await submissions.get(record.id)) as SubmissionRecord,
      blocks: mined.blocks.length,
      commitMs: endMs - minedMs,
      overheadMs: Math.max(0, endMs - startedMs - mined.hashingMs),
      rewards: mined.rewards,
    });
    await spool.drop(record.id);
    await this.#stages.vesting.sealed();
    for (const waiting of submissions.pending())
      if (
        waiting.state === 'evaluated' &&
        !equalBytes(chain.sealed.position.hash, waiting.verdict?.head ?? record.id)
      )
        await this.#judgeAgain(waiting);
    await this.#stages.evaluation.headMoved();
    await this.#stages.evaluation.recheck();
  }

  #isCurrent(record: SubmissionRecord): boolean {
    return (
      record.verdict !== undefined && equalBytes(record.verdict.head, this.#state.chain.sealed.position.hash)
    );
  }

  /** A submission that was evaluated on an older head goes back to the queue, unless its weights are already here. */
  async #judgeAgain(record: SubmissionRecord): Promise<void> {
    for (const { name, payloadHash } of record.tensors)
      if ((await this.#state.chain.payloadHeight(payloadHash)) !== undefined)
        return this.#reject(
          record,
          new PoolError('PAYLOAD_KNOWN', `${name}: these bytes are on the chain meanwhile`),
        );
    await this.#stages.evaluation.enqueue(record);
  }

  async #reject(record: SubmissionRecord, error: PoolError): Promise<void> {
    await this.#state.submissions.move(record.id, 'rejected', { error: error.toObject() as never });
  }

  /** Our own faults are tried again later; what is wrong with the submission itself ends it. */
  async #failed(record: SubmissionRecord, error: unknown): Promise<void> {
    const { submissions } = this.#state;
    const now = await submissions.get(record.id);
    if (this.#closing.signal.aborted || !now || now.state === 'rejected' || now.state === 'paid') return;
    if (this.#changing) return this.#putBack(now);
    this.#events.onFault('a submission could not be mined or committed', error);
    if (error instanceof PoolError && ERRORS[error.code as ErrorCode][0] < 500) {
      await this.#reject(now, error);
      return;
    }
    this.#retryLater();
    await this.#putBack(now);
  }

  async #putBack({ id, state }: SubmissionRecord): Promise<void> {
    if (state === 'mining' || state === 'mined') await this.#state.submissions.move(id, 'evaluated');
  }

  #retryLater(message?: string, error?: unknown): void {
    if (message !== undefined) this.#events.onFault(message, error);
    if (this.#closing.signal.aborted) return;
    this.#retry ??= setTimeout(() => {
      this.#retry = undefined;
      this.mineNext();
    }, RETRY_MS);
  }

  async #resume(record: SubmissionRecord): Promise<void> {
    const { submissions, spool } = this.#state;
    const lost = record.tensors.find(({ payloadHash }) => !spool.has(payloadHash));
    if (lost)
      return this.#reject(
        record,
        new PoolError(
          'STORE_IO',
          `${lost.name}: the uploaded bytes are gone from the spool; submit them again`,
        ),
      );
    // Also where the process ended between a Meta block and this.
    if (await this.#refuseOlder(record)) return;
    if (record.state === 'mining' || record.state === 'mined') await submissions.move(record.id, 'evaluated');
    else if (record.state === 'evaluating')
      await this.#stages.evaluation.enqueue(await submissions.move(record.id, 'queued'));
    else if (record.state === 'received' || record.state === 'queued')
      await this.#stages.evaluation.enqueue(record);
  }
}
