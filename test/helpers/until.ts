import { setTimeout as sleep } from 'node:timers/promises';

/** Generous: test machines are shared, and a deadline only has to end what would never end. */
export const DEADLINE_MS = 120_000;
const POLL_MS = 50;

/** Asks until there is an answer that is neither undefined nor false; an error of `ask` counts as no answer yet. */
export async function until<T>(
  what: string,
  ask: () => T | Promise<T>,
  deadlineMs = DEADLINE_MS,
): Promise<Exclude<T, undefined | false>> {
  const end = performance.now() + deadlineMs;
  let last: unknown;
  while (performance.now() < end) {
    try {
      last = await ask();
      if (last !== undefined && last !== false) return last as Exclude<T, undefined | false>;
    } catch (error) {
      last = error;
    }
    await sleep(POLL_MS);
  }
  throw new Error(`${what}: not within ${deadlineMs} ms; the last answer was ${String(last)}`);
}
