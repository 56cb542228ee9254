import type { EpochView } from '#shared/api/epoch-schemas.ts';
import type { PoolSharesView } from '#shared/api/reward-schemas.ts';
import type { BlockView, FeedEvent, LossPoint, Overview, SubmissionView } from '#shared/api/schemas.ts';
import type { WorkerView } from '#shared/api/worker-schemas.ts';
import { type BlockGroup, mergeBlocks } from './block-groups.ts';

/** How much the page keeps: enough to scroll through, little enough for a phone. */
export const KEPT_SUBMISSIONS = 100;
export const KEPT_GROUPS = 40;
export const KEPT_EPOCHS = 20;

export type Connection = 'connecting' | 'live' | 'reconnecting';

/** Everything the page shows. Values are never changed in place: each update makes a new state. */
export interface PoolState {
  readonly connection: Connection;
  /** When the next attempt starts, while reconnecting. */
  readonly retryAtMs: number | null;
  readonly overview: Overview | null;
  /** Newest first. */
  readonly submissions: readonly SubmissionView[];
  /** Newest first. */
  readonly groups: readonly BlockGroup[];
  readonly workers: readonly WorkerView[];
  /** Newest last. */
  readonly epochs: readonly EpochView[];
  /** Who would share the next reward. */
  readonly shares: PoolSharesView | null;
  /** By height, one point each. */
  readonly losses: readonly LossPoint[];
  /** Submissions now in each state. */
  readonly counts: Readonly<Record<string, number>>;
  /** The last news in words, for a screen reader. */
  readonly news: string;
}

export const EMPTY_STATE: PoolState = {
  connection: 'connecting',
  retryAtMs: null,
  overview: null,
  submissions: [],
  groups: [],
  workers: [],
  epochs: [],
  shares: null,
  losses: [],
  counts: {},
  news: '',
};

export function withOverview(state: PoolState, overview: Overview): PoolState {
  return {
    ...state,
    overview,
    workers: sortWorkers(overview.workers),
    losses: mergeLosses(state.losses, overview.losses),
    counts: overview.submissions,
  };
}

export function withSubmissions(state: PoolState, list: readonly SubmissionView[]): PoolState {
  return { ...state, submissions: list.reduce(mergeSubmission, state.submissions) };
}

export function withBlocks(state: PoolState, blocks: readonly BlockView[]): PoolState {
  return { ...state, groups: mergeBlocks(state.groups, blocks, KEPT_GROUPS) };
}

/** Newer views of epochs in place of those that are known. */
export function withEpochs(state: PoolState, views: readonly EpochView[]): PoolState {
  const byNumber = new Map([...state.epochs, ...views].map((epoch) => [epoch.number, epoch]));
  const ordered = [...byNumber.values()].sort((a, b) => a.number - b.number);
  return { ...state, epochs: ordered.slice(-KEPT_EPOCHS) };
}

/** Forgets what belongs to the network shown until now: another chain answers at this address. */
export function forgetNetwork(state: PoolState): PoolState {
  return { ...EMPTY_STATE, connection: state.connection, retryAtMs: state.retryAtMs };
}

/** One message of the feed. An event of a kind this page does not know leaves the state as it is. */
export function withEvent(state: PoolState, event: FeedEvent): PoolState {
  switch (event.type) {
    case 'submission':
      return withSubmissionEvent(state, event.submission);
    case 'head':
      return withHead(state, event);
    case 'epoch':
      return withEpochs(state, [event.epoch]);
    case 'loss':
      return withLoss(state, event.point);
    case 'worker':
      return { ...state, workers: mergeWorker(state.workers, event.worker) };
    default:
      return state;
  }
}

function withSubmissionEvent(state: PoolState, submission: SubmissionView): PoolState {
  const known = state.submissions.find(({ id }) => id === submission.id);
  if (known && isOlder(submission, known)) return state;
  return {
    ...state,
    submissions: mergeSubmission(state.submissions, submission),
    counts: moved(state.counts, submission, known),
    news: newsOf(submission, known) ?? state.news,
  };
}

function withHead(state: PoolState, event: FeedEvent & { type: 'head' }): PoolState {
  const { overview } = state;
  if (!overview || event.height <= overview.height.B) return state;
  return {
    ...state,
    overview: {
      ...overview,
      height: { ...overview.height, B: event.height },
      root: event.root,
      head_at: event.at,
    },
  };
}

function withLoss(state: PoolState, point: LossPoint): PoolState {
  const losses = mergeLosses(state.losses, [point]);
  const { overview } = state;
  const newest = losses.at(-1);
  if (!overview || newest?.height !== point.height) return { ...state, losses };
  return { ...state, losses, overview: { ...overview, validation_loss_nats: point.loss_nats } };
}

/** Keeps the newer of two views of one submission; new ones take their place by time of arrival. */
function mergeSubmission(list: readonly SubmissionView[], view: SubmissionView): SubmissionView[] {
  const known = list.find(({ id }) => id === view.id);
  if (known && isOlder(view, known)) return [...list];
  return [...list.filter(({ id }) => id !== view.id), view]
    .sort((a, b) => b.received_at - a.received_at || (a.id < b.id ? -1 : 1))
    .slice(0, KEPT_SUBMISSIONS);
}

/** Two moves may fall into one millisecond: the longer history is the newer view. */
function isOlder(view: SubmissionView, than: SubmissionView): boolean {
  return (view.updated_at - than.updated_at || view.history.length - than.history.length) < 0;
}

/** Counts follow a move; the state it came from stands in the history when the submission was not on the page. */
function moved(
  counts: PoolState['counts'],
  submission: SubmissionView,
  known: SubmissionView | undefined,
): PoolState['counts'] {
  const from = known ? known.state : submission.history.at(-2)?.state;
  if (from === submission.state) return counts;
  const next = { ...counts, [submission.state]: (counts[submission.state] ?? 0) + 1 };
  if (from !== undefined) next[from] = Math.max(0, (next[from] ?? 0) - 1);
  return next;
}

function newsOf(submission: SubmissionView, known: SubmissionView | undefined): string | null {
  if (known?.state === submission.state) return null;
  const name = `Submission ${submission.id.slice(0, 6)}`;
  if (submission.state === 'rejected') return `${name} was rejected: ${submission.error?.code ?? 'no code'}.`;
  if (submission.state !== 'committed') return null;
  const gain = submission.verdict?.gain_nats;
  return `${name} was committed${gain === undefined ? '' : `: the loss fell by ${gain.toFixed(3)} nats`}.`;
}

function mergeLosses(known: readonly LossPoint[], points: readonly LossPoint[]): LossPoint[] {
  const byHeight = new Map(known.map((point) => [point.height, point]));
  for (const point of points) if (Number.isFinite(point.loss_nats)) byHeight.set(point.height, point);
  return [...byHeight.values()].sort((a, b) => a.height - b.height);
}

function mergeWorker(workers: readonly WorkerView[], worker: WorkerView): WorkerView[] {
  return sortWorkers([...workers.filter(({ address }) => address !== worker.address), worker]);
}

/** Attached ones first, then by name: rows must not change places with every heartbeat. */
function sortWorkers(workers: readonly WorkerView[]): WorkerView[] {
  return [...workers].sort(
    (a, b) =>
      Number(b.connected) - Number(a.connected) ||
      a.name.localeCompare(b.name) ||
      a.address.localeCompare(b.address),
  );
}
