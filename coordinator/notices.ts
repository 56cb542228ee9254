import { submissionView } from '#coordinator/api/views.ts';
import type { Chain } from '#coordinator/chain/chain.ts';
import type { WorkerSession } from '#coordinator/dispatch/worker-session.ts';
import type { HeadLoss } from '#coordinator/evaluation/head-losses.ts';
import type { Waiting } from '#coordinator/evaluation/waiting.ts';
import type { Log } from '#coordinator/log.ts';
import type { Metrics } from '#coordinator/metrics/metrics.ts';
import type { CommitReport } from '#coordinator/pipeline.ts';
import type { SubmissionRecord, Submissions } from '#coordinator/store/submissions.ts';
import type { Feed } from '#coordinator/ws/feed.ts';
import type { EpochView } from '#shared/api/epoch-schemas.ts';
import type { EntryKind, Move } from '#shared/block/journal.ts';
import type { MetaBlock } from '#shared/block/meta-chain.ts';
import { isZero, toHex } from '#shared/crypto/bytes.ts';
import type { ErrorCode } from '#shared/errors/catalogue.ts';

export interface NoticesParts {
  readonly feed: Feed;
  readonly metrics: Metrics;
  readonly chain: Chain;
  readonly submissions: Submissions;
  readonly log: Log;
  readonly now: () => number;
}

/** How often a worker's rates go out on the feed. */
const HEARTBEAT_NOTICE_MS = 5_000;

/** Tells the world what happened, in one place: feed, metrics and log say the same of every event. */
export class Notices {
  readonly #parts: NoticesParts;
  readonly #progress = new Map<string, { done: number; total: number }>();
  readonly #told = new WeakMap<WorkerSession, number>();

  constructor(parts: NoticesParts) {
    this.#parts = parts;
  }

  progressOf(id: string): { done: number; total: number } | undefined {
    return this.#progress.get(id);
  }

  moved(record: SubmissionRecord): void {
    const { metrics, log } = this.#parts;
    const id = toHex(record.id);
    if (record.state !== 'evaluating') this.#progress.delete(id);
    metrics.submissionMoved(record.state, record.error?.code as ErrorCode | undefined);
    const { error } = record;
    log.info('submission', {
      id: id.slice(0, 12),
      state: record.state,
      ...(error ? { code: error.code } : {}),
    });
    this.#publish(record);
  }

  progress(record: SubmissionRecord, progress: { done: number; total: number }): void {
    this.#progress.set(toHex(record.id), progress);
    this.#publish({ ...record, state: 'evaluating' });
  }

  /** Nobody that is attached may or can judge it: an operator can do something about that. */
  longWait(id: string, { reason, message }: Waiting): void {
    this.#parts.log.warn('a submission waits', { id: id.slice(0, 12), reason, message });
  }

  committed(report: CommitReport): void {
    const { metrics, chain, feed, now, log } = this.#parts;
    const { blocks, commitMs, overheadMs } = report;
    metrics.committed({ blocks, commitMs, overheadMs });
    for (const { kind, amount } of report.rewards) metrics.paid(kind as EntryKind, amount);
    const { position, root } = chain.sealed;
    log.info('head', { height: position.index, blocks, overheadMs: Math.round(overheadMs) });
    feed.publish({
      type: 'head',
      at: now(),
      height: position.index,
      hash: toHex(position.hash),
      root: toHex(root),
      submission: toHex(report.record.id),
      blocks,
    });
  }

  metaChanged({ index, hash }: MetaBlock): void {
    const { feed, now, log } = this.#parts;
    log.info('meta', { index, hash: toHex(hash).slice(0, 12) });
    feed.publish({ type: 'meta', at: now(), index, hash: toHex(hash) });
  }

  headLoss({ height, microNats, submission, isMeasured }: HeadLoss): void {
    const { chain, feed, now, log } = this.#parts;
    const at = now();
    chain
      .recordLoss({ height, microNats, at, isMeasured })
      .catch((error: unknown) => log.warn('a loss could not be stored', {}, error));
    log.info('validation loss', { height, lossNats: microNats / 1e6, measured: isMeasured });
    feed.publish({
      type: 'loss',
      at,
      point: {
        height,
        at,
        loss_nats: microNats / 1e6,
        measured: isMeasured,
        submission: submission && !isZero(submission) ? toHex(submission) : null,
      },
    });
  }

  epoch(epoch: EpochView): void {
    const { feed, log, now } = this.#parts;
    const held = epoch.submissions.filter((one) => one.held === true).length;
    const forfeited = epoch.submissions.filter((one) => one.held === false).length;
    log.info('epoch', { number: epoch.number, state: epoch.state, held, forfeited });
    feed.publish({ type: 'epoch', at: now(), epoch });
  }

  /** What vested of a reward is its submitter's now, or nobody's. */
  settled(submission: Uint8Array, { held, moves }: { held: boolean; moves: readonly Move[] }): void {
    const { metrics, log } = this.#parts;
    for (const { kind, amount } of moves) metrics.paid(kind, amount);
    log.info('held-out check', { id: toHex(submission).slice(0, 12), held });
  }

  worker(session: WorkerSession, connected: boolean): void {
    const { feed, log, now } = this.#parts;
    log.info(connected ? 'worker joined' : 'worker left', {
      address: session.address,
      name: session.hello.name,
    });
    feed.publish({ type: 'worker', at: now(), worker: session.view(connected) });
  }

  heartbeat(session: WorkerSession): void {
    const now = this.#parts.now();
    if (now - (this.#told.get(session) ?? 0) < HEARTBEAT_NOTICE_MS) return;
    this.#told.set(session, now);
    this.#parts.feed.publish({ type: 'worker', at: now, worker: session.view(true) });
  }

  #publish(record: SubmissionRecord): void {
    const { feed, now } = this.#parts;
    const submission = submissionView(record, this.#progress.get(toHex(record.id)));
    feed.publish({ type: 'submission', at: now(), submission });
  }
}
