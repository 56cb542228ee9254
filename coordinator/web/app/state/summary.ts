import type { LossPoint } from '#shared/api/schemas.ts';
import type { WorkerView } from '#shared/api/worker-schemas.ts';
import { formatHashRate, formatPlural, formatTokenRate } from '../text/format.ts';
import type { PoolState } from './pool-state.ts';

/** What the loss curve says in a few numbers. */
export interface LossSummary {
  readonly now: LossPoint;
  readonly genesis: LossPoint;
  /** Above zero where the model got better. */
  readonly gainNats: number;
  /** The same for the newest point alone; null at genesis. */
  readonly lastGainNats: number | null;
  /** True while the head is newer than the newest point. */
  readonly measuring: boolean;
}

export function lossSummary(state: PoolState): LossSummary | null {
  const { losses, overview } = state;
  const [genesis, now] = [losses[0], losses.at(-1)];
  if (!genesis || !now) return null;
  const before = losses.at(-2);
  return {
    now,
    genesis,
    gainNats: genesis.loss_nats - now.loss_nats,
    lastGainNats: before ? before.loss_nats - now.loss_nats : null,
    measuring: overview !== null && overview.height.B > now.height,
  };
}

/** Validation loss before and after a submission's blocks, from the curve; null until both are measured. */
export function lossStep(
  losses: readonly LossPoint[],
  height: number,
): { before: number; after: number } | null {
  const at = losses.findIndex((point) => point.height === height);
  const [before, after] = [losses[at - 1], losses[at]];
  return before && after ? { before: before.loss_nats, after: after.loss_nats } : null;
}

export function countOf(state: PoolState, name: string): number {
  return state.counts[name] ?? 0;
}

/** What the pool does at this moment, in one sentence. */
export function nowSentence(state: PoolState): string {
  if (!state.overview) return 'Asking the pool…';
  const parts = [evaluationPart, miningPart, commitPart, waitingPart]
    .map((part) => part(state))
    .filter((part) => part !== '');
  const attached = state.workers.filter(({ connected }) => connected).length;
  if (attached === 0) return sentence([...parts, 'no worker is attached']);
  return parts.length > 0 ? sentence(parts) : 'Waiting for the next submission.';
}

export function totalHashRate(workers: readonly WorkerView[]): number {
  return workers.reduce((sum, worker) => sum + (worker.connected ? worker.hashes_per_second : 0), 0);
}

export function totalTokenRate(workers: readonly WorkerView[]): number {
  return workers.reduce((sum, worker) => sum + (worker.connected ? worker.tokens_per_second : 0), 0);
}

/** How many workers are attached, and what they achieve together at this moment. */
export function workforce(workers: readonly WorkerView[]): string {
  const attached = workers.filter(({ connected }) => connected).length;
  const [tokens, hashes] = [totalTokenRate(workers), totalHashRate(workers)];
  const rates = [tokens > 0 && formatTokenRate(tokens), hashes > 0 && formatHashRate(hashes)];
  return [formatPlural(attached, 'worker'), ...rates.filter((rate) => rate !== false)].join(', ');
}

/** Submissions that reached the chain, and those refused. */
export function acceptedTotal(state: PoolState): number {
  return countOf(state, 'committed') + countOf(state, 'paid');
}

function evaluationPart(state: PoolState): string {
  const count = countOf(state, 'evaluating');
  if (count === 0) return '';
  const progress = state.submissions.find((view) => view.state === 'evaluating')?.progress;
  const windows = count === 1 && progress ? `, ${progress.done} of ${progress.total} windows` : '';
  return `evaluating ${formatPlural(count, 'submission')}${windows}`;
}

function miningPart(state: PoolState): string {
  const count = countOf(state, 'mining');
  if (count === 0) return '';
  const rate = totalHashRate(state.workers);
  const mining = state.submissions.find((view) => view.state === 'mining');
  const blocks =
    mining && count === 1 ? formatPlural(mining.tensors.length, 'block') : formatPlural(count, 'submission');
  return `mining ${blocks}${rate > 0 ? ` at ${formatHashRate(rate)}` : ''}`;
}

function commitPart(state: PoolState): string {
  const count = countOf(state, 'mined');
  return count === 0 ? '' : `committing ${formatPlural(count, 'submission')}`;
}

function waitingPart(state: PoolState): string {
  const count = countOf(state, 'received') + countOf(state, 'queued') + countOf(state, 'evaluated');
  return count === 0 ? '' : `${formatPlural(count, 'submission')} waiting`;
}

function sentence(parts: readonly string[]): string {
  const text = parts.join('; ');
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}.`;
}
