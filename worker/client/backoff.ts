export interface Backoff {
  readonly firstMs: number;
  readonly mostMs: number;
}

/** Quick enough after a restart of the coordinator, slow enough that a thousand workers do not press it. */
export const RECONNECT: Backoff = { firstMs: 250, mostMs: 5_000 };

/**
 * Wait before attempt `attempt` (from 0): doubling up to the most, of which a random half to whole is
 * taken, so that workers that lost one coordinator together do not come back together.
 */
export function backoffMs(attempt: number, backoff: Backoff, random: () => number): number {
  const full = Math.min(backoff.mostMs, backoff.firstMs * 2 ** Math.min(attempt, 30));
  return full * (0.5 + 0.5 * random());
}
