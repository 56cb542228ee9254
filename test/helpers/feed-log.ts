import { setTimeout as sleep } from 'node:timers/promises';
import { WebSocket } from 'ws';
import { type FeedEvent, feedEventSchema } from '#shared/api/schemas.ts';
import type { SubmissionState } from '#shared/lifecycle.ts';
import { DEADLINE_MS } from '#test/helpers/until.ts';

const RETRY_MS = 50;

/** Everything that `/ws/feed` says, checked against its schema. It connects again when the coordinator was away. */
export class FeedLog {
  readonly events: FeedEvent[] = [];
  readonly opened: Promise<void>;
  readonly #url: string;
  #socket: WebSocket | undefined;
  #closed = false;
  #fault: unknown;
  #waiting: (() => void)[] = [];

  constructor(url: string) {
    this.#url = `${url.replace(/^http/, 'ws')}/ws/feed`;
    this.opened = new Promise((resolve) => void this.#follow(resolve));
  }

  /** States of one submission, in the order in which the feed told them; progress is no move. */
  states(id: string): SubmissionState[] {
    const states = this.events.flatMap((event) =>
      event.type === 'submission' && event.submission.id === id ? [event.submission.state] : [],
    );
    return states.filter((state, i) => state !== states[i - 1]) as SubmissionState[];
  }

  /** The first event from `from` on that fits, now or later. */
  async next(
    what: string,
    fits: (event: FeedEvent) => boolean,
    { from = 0, deadlineMs = DEADLINE_MS }: { from?: number; deadlineMs?: number } = {},
  ): Promise<FeedEvent> {
    const end = performance.now() + deadlineMs;
    for (let seen = from; ; ) {
      for (; seen < this.events.length; seen++) {
        const event = this.events[seen] as FeedEvent;
        if (fits(event)) return event;
      }
      if (this.#fault) throw this.#fault;
      if (performance.now() > end) throw new Error(`the feed did not tell in time: ${what}`);
      await Promise.race([new Promise<void>((resolve) => this.#waiting.push(resolve)), sleep(1_000)]);
    }
  }

  close(): void {
    this.#closed = true;
    this.#socket?.terminate();
  }

  async #follow(opened: () => void): Promise<void> {
    while (!this.#closed) {
      const socket = new WebSocket(this.#url, { perMessageDeflate: false });
      this.#socket = socket;
      socket.on('open', opened);
      socket.on('error', () => {});
      socket.on('message', (data) => this.#take(String(data)));
      await new Promise((resolve) => socket.once('close', resolve));
      await sleep(RETRY_MS);
    }
  }

  #take(text: string): void {
    try {
      this.events.push(feedEventSchema.parse(JSON.parse(text)));
    } catch (error) {
      this.#fault = error;
    }
    for (const resolve of this.#waiting.splice(0)) resolve();
  }
}
