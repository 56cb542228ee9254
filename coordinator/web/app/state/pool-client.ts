import type { EpochView } from '#shared/api/epoch-schemas.ts';
import type { PoolSharesView } from '#shared/api/reward-schemas.ts';
import type { BlockView, FeedEvent, Overview, SubmissionView } from '#shared/api/schemas.ts';
import { Feed, type FeedPorts } from '../net/feed.ts';
import type { GetJson } from '../net/ports.ts';
import { mergeBlocks, nextUnknownSeal } from './block-groups.ts';
import {
  EMPTY_STATE,
  forgetNetwork,
  KEPT_EPOCHS,
  type PoolState,
  withBlocks,
  withEpochs,
  withEvent,
  withOverview,
  withSubmissions,
} from './pool-state.ts';

/** Rates and totals that no event carries are asked for again this often. */
const POLL_MS = 15_000;
/** Events of one commit come together: one refresh answers them all. */
const REFRESH_DELAY_MS = 150;
/** Submissions whose blocks are shown at first. */
const FIRST_GROUPS = 10;
/** Accounts of each kind of work: those with the most credit. */
const SHOWN_SHARES = 5;

export interface PoolPorts extends FeedPorts {
  readonly get: GetJson;
}

/**
 * Keeps a `PoolState` in step with the coordinator: the feed for what happens, GETs for what was before. It is a
 * Svelte store: `subscribe` calls back at once and on every change.
 */
export class PoolClient {
  readonly #ports: PoolPorts;
  readonly #feed: Feed;
  readonly #listeners = new Set<(state: PoolState) => void>();
  #state = EMPTY_STATE;
  #cancelPoll: (() => void) | null = null;
  #cancelRefresh: (() => void) | null = null;

  constructor(ports: PoolPorts) {
    this.#ports = ports;
    this.#feed = new Feed(
      {
        onLive: () => this.#live(),
        onLost: (retryAtMs) => this.#lost(retryAtMs),
        onEvents: (events) => this.#take(events),
      },
      ports,
    );
  }

  get state(): PoolState {
    return this.#state;
  }

  subscribe(listener: (state: PoolState) => void): () => void {
    this.#listeners.add(listener);
    listener(this.#state);
    return () => this.#listeners.delete(listener);
  }

  start(): void {
    this.#feed.start();
  }

  retryNow(): void {
    this.#feed.retryNow();
  }

  stop(): void {
    this.#feed.stop();
    this.#cancelPoll?.();
    this.#cancelRefresh?.();
    this.#cancelPoll = null;
    this.#cancelRefresh = null;
  }

  /** Every block of heights `first`..`last`, for a group that the user opens. */
  async loadGroup(first: number, last: number): Promise<void> {
    const blocks = await this.#getBlocks(`from=${first}&limit=${Math.min(500, last - first + 1)}`);
    this.#set(withBlocks(this.#state, blocks));
  }

  #live(): void {
    this.#set({ ...this.#state, connection: 'live', retryAtMs: null });
    this.#run(() => this.#refresh());
    this.#schedulePoll();
  }

  #lost(retryAtMs: number): void {
    this.#cancelPoll?.();
    this.#cancelPoll = null;
    this.#set({ ...this.#state, connection: 'reconnecting', retryAtMs });
  }

  #take(events: readonly FeedEvent[]): void {
    this.#set(events.reduce(withEventSafely, this.#state));
    if (events.some(({ type }) => type === 'head' || type === 'meta')) this.#refreshSoon();
  }

  #refreshSoon(): void {
    this.#cancelRefresh ??= this.#ports.timers.after(REFRESH_DELAY_MS, () => {
      this.#cancelRefresh = null;
      this.#run(() => this.#refresh());
    });
  }

  #schedulePoll(): void {
    this.#cancelPoll?.();
    this.#cancelPoll = this.#ports.timers.after(POLL_MS, () => {
      this.#run(() => this.#refresh());
      this.#schedulePoll();
    });
  }

  async #refresh(): Promise<void> {
    const [overview, { submissions }, { epochs }, shares, blocks] = await Promise.all([
      this.#ports.get('overview') as Promise<Overview>,
      this.#ports.get('submissions?limit=20') as Promise<{ submissions: SubmissionView[] }>,
      this.#ports.get(`epochs?limit=${KEPT_EPOCHS}`) as Promise<{ epochs: EpochView[] }>,
      this.#ports.get(`pool/shares?limit=${SHOWN_SHARES}`) as Promise<PoolSharesView>,
      this.#getBlocks('limit=20'),
    ]);
    const before = this.#state.overview;
    const base = before && before.network !== overview.network ? forgetNetwork(this.#state) : this.#state;
    const known = withEpochs(withSubmissions(withOverview(base, overview), submissions), epochs);
    this.#set(withBlocks({ ...known, shares }, blocks));
    await this.#fillGroups();
  }

  /** The newest twenty blocks may be one submission: walks back from seal to seal until there are some to see. */
  async #fillGroups(): Promise<void> {
    let groups = this.#state.groups;
    const found: BlockView[] = [];
    for (let seal = nextUnknownSeal(groups); seal !== null && groups.length < FIRST_GROUPS; ) {
      const blocks = await this.#getBlocks(`from=${seal}&limit=1`);
      const more = mergeBlocks(groups, blocks, FIRST_GROUPS);
      if (more.length === groups.length) break;
      found.push(...blocks);
      groups = more;
      seal = nextUnknownSeal(groups);
    }
    this.#set(withBlocks(this.#state, found));
  }

  async #getBlocks(query: string): Promise<BlockView[]> {
    const { blocks } = (await this.#ports.get(`chain/B/blocks?${query}`)) as { blocks: BlockView[] };
    return blocks;
  }

  /** A request that fails while the feed stands means that the feed cannot be trusted either: connect anew. */
  #run(task: () => Promise<void>): void {
    task().catch(() => this.#feed.reset());
  }

  #set(state: PoolState): void {
    this.#state = state;
    for (const listener of this.#listeners) listener(state);
  }
}

/** An event without the fields of its type is passed over, like one of an unknown type. */
function withEventSafely(state: PoolState, event: FeedEvent): PoolState {
  try {
    return withEvent(state, event);
  } catch (error) {
    if (error instanceof TypeError) return state;
    throw error;
  }
}
