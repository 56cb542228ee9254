import type { Timers } from '../net/ports.ts';

/** Relative times are told to the second while they are young. */
const TICK_MS = 1_000;

export interface Clock {
  /** A Svelte store: calls back at once, and every second while anybody listens. */
  subscribe(listener: (nowMs: number) => void): () => void;
}

export function createClock(timers: Timers): Clock {
  const listeners = new Set<(nowMs: number) => void>();
  let cancel: (() => void) | null = null;
  const tick = () => {
    cancel = timers.after(TICK_MS, tick);
    for (const listener of listeners) listener(timers.now());
  };
  return {
    subscribe(listener) {
      listeners.add(listener);
      listener(timers.now());
      cancel ??= timers.after(TICK_MS, tick);
      return () => {
        listeners.delete(listener);
        if (listeners.size > 0) return;
        cancel?.();
        cancel = null;
      };
    },
  };
}
