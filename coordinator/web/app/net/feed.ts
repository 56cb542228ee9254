import type { FeedEvent } from '#shared/api/schemas.ts';
import type { OpenSocket, Socket, Timers } from './ports.ts';

const FIRST_RETRY_MS = 500;
const MAX_RETRY_MS = 10_000;
/** A connection that stood this long was a good one: the next loss starts with a short wait again. */
const STABLE_MS = 5_000;
/** Events are handed on in batches: a burst costs one rendering, and no eye sees the delay. */
const BATCH_MS = 80;

export interface FeedHandlers {
  onLive(): void;
  onLost(retryAtMs: number): void;
  onEvents(events: readonly FeedEvent[]): void;
}

export interface FeedPorts {
  readonly open: OpenSocket;
  readonly timers: Timers;
  /** Uniform in [0, 1): spreads the retries of many pages after a restart. */
  readonly random: () => number;
}

/** `/ws/feed`, opened again for as long as the page lives, with waits that double up to ten seconds. */
export class Feed {
  readonly #handlers: FeedHandlers;
  readonly #ports: FeedPorts;
  #socket: Socket | null = null;
  #cancelRetry: (() => void) | null = null;
  #cancelFlush: (() => void) | null = null;
  #pending: FeedEvent[] = [];
  #failures = 0;
  #openedAtMs: number | null = null;
  #stopped = true;

  constructor(handlers: FeedHandlers, ports: FeedPorts) {
    this.#handlers = handlers;
    this.#ports = ports;
  }

  start(): void {
    if (!this.#stopped) return;
    this.#stopped = false;
    this.#connect();
  }

  /** Connects at once where a retry is waiting: the network came back, or the user asked. */
  retryNow(): void {
    if (!this.#cancelRetry) return;
    this.#cancelRetry();
    this.#connect();
  }

  /** Drops the connection as if it were lost: what came over it is not believed to be complete. */
  reset(): void {
    this.#socket?.close();
  }

  stop(): void {
    this.#stopped = true;
    this.#cancelRetry?.();
    this.#cancelFlush?.();
    this.#cancelRetry = null;
    this.#cancelFlush = null;
    this.#pending = [];
    this.#socket?.close();
  }

  #connect(): void {
    this.#cancelRetry = null;
    this.#socket = this.#ports.open('ws/feed', {
      onOpen: () => {
        this.#openedAtMs = this.#ports.timers.now();
        this.#handlers.onLive();
      },
      onText: (text) => this.#take(text),
      onClose: () => this.#lost(),
    });
  }

  #lost(): void {
    this.#socket = null;
    if (this.#stopped) return;
    const { timers, random } = this.#ports;
    const stood = this.#openedAtMs === null ? 0 : timers.now() - this.#openedAtMs;
    this.#failures = stood >= STABLE_MS ? 0 : this.#failures + 1;
    this.#openedAtMs = null;
    const full = Math.min(MAX_RETRY_MS, FIRST_RETRY_MS * 2 ** Math.min(this.#failures, 10));
    const waitMs = Math.round(full * (0.5 + random() / 2));
    this.#cancelRetry = timers.after(waitMs, () => this.#connect());
    this.#handlers.onLost(timers.now() + waitMs);
  }

  #take(text: string): void {
    const event = parseEvent(text);
    if (!event) return;
    this.#pending.push(event);
    this.#cancelFlush ??= this.#ports.timers.after(BATCH_MS, () => {
      this.#cancelFlush = null;
      this.#handlers.onEvents(this.#pending.splice(0));
    });
  }
}

/** A message that is not an object with a type is passed over: a newer coordinator may say more than this page knows. */
export function parseEvent(text: string): FeedEvent | null {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return null;
  }
  if (typeof value !== 'object' || value === null) return null;
  return typeof (value as { type?: unknown }).type === 'string' ? (value as FeedEvent) : null;
}
