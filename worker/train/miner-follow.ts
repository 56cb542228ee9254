import type { SubmissionView } from '#shared/api/schemas.ts';
import type { ApiClient } from '#worker/client/api-client.ts';
import type { PayloadSource } from '#worker/client/payload-cache.ts';
import { fetchHead, type Head, type KnownTensors } from '#worker/train/miner-head.ts';

/** Often enough to notice a head soon, rarely enough to cost nothing beside training. */
const POLL_MS = 2_000;

/** What the pool said since last asked. */
export interface News {
  /** The head, where it is another than before. */
  readonly head?: Head;
  /** The submission that is followed. */
  readonly submission?: SubmissionView;
  readonly error?: unknown;
}

export interface FollowState {
  readonly head: Head;
  readonly submission: string | undefined;
  readonly known: KnownTensors;
}

/**
 * Asks the pool for its head and for a submission's state, in the background of training. Polling: nothing to
 * keep open, nothing to miss while the coordinator restarts.
 */
export class Follower {
  readonly #source: { api: Pick<ApiClient, 'model' | 'submission'>; payloads: PayloadSource };
  readonly #now: () => number;
  #askedAt = Number.NEGATIVE_INFINITY;
  #asking: Promise<void> | undefined;
  #news: News | undefined;

  constructor(
    source: { api: Pick<ApiClient, 'model' | 'submission'>; payloads: PayloadSource },
    now: () => number,
  ) {
    this.#source = source;
    this.#now = now;
  }

  /** A question that is under way. */
  get asking(): Promise<void> | undefined {
    return this.#asking;
  }

  /** What came in, once; asks again when it is time. */
  take(state: FollowState, signal: AbortSignal): News | undefined {
    const news = this.#news;
    this.#news = undefined;
    const idle = this.#asking === undefined && news === undefined;
    if (idle && this.#now() - this.#askedAt >= POLL_MS) {
      this.#askedAt = this.#now();
      this.#asking = this.#ask(state, signal).then((answer) => {
        this.#news = answer;
        this.#asking = undefined;
      });
    }
    return news;
  }

  async #ask({ head, submission, known }: FollowState, signal: AbortSignal): Promise<News> {
    const { api, payloads } = this.#source;
    try {
      // The submission first: when it says committed, the head that is read next has it.
      const followed = submission === undefined ? undefined : await api.submission(submission, signal);
      const view = await api.model(signal);
      const moved = view.head.hash !== head.view.head.hash || view.meta.hash !== head.view.meta.hash;
      const fresh = moved ? await fetchHead(payloads, view, { head, known, signal }) : undefined;
      return { ...(fresh && { head: fresh }), ...(followed && { submission: followed }) };
    } catch (error) {
      return { error };
    }
  }
}
