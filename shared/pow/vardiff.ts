import { must } from '#shared/errors/pool-error.ts';
import { MAX_TARGET } from '#shared/pow/target.ts';

/** How hard a worker's shares are. A difficulty is the number of hashes that a share takes on average. */
export interface VardiffRule {
  /** Shares that a worker is to send in a minute, a whole number. */
  readonly sharesPerMinute: number;
  readonly easiest: bigint;
  readonly hardest: bigint;
  /** A rate within this factor of the wished one is left alone: chance alone moves it so far. A whole number. */
  readonly slack: number;
  /** The difficulty changes by at most this factor at once. A whole number. */
  readonly step: number;
  /** Nothing is concluded from less time, milliseconds, unless `step` times the shares of that time came. */
  readonly windowMs: number;
}

/**
 * Six shares a minute measure a worker to 40 % within a minute, and a thousand workers send a hundred in a second.
 * From a share in 2^16 hashes (a slow core) to one in 2^60 (ten thousand of the fastest GPUs behind one line).
 */
export const DEFAULT_VARDIFF: VardiffRule = {
  sharesPerMinute: 6,
  easiest: 1n << 16n,
  hardest: 1n << 60n,
  slack: 2,
  step: 8,
  windowMs: 60_000,
};

/** What came since the difficulty was last changed or confirmed. */
export interface Observed {
  readonly shares: number;
  readonly ms: number;
}

const MINUTE_MS = 60_000n;

/** The difficulty of a worker that was measured by its self-test; within the bounds. */
export function firstDifficulty(rule: VardiffRule, hashesPerSecond: number): bigint {
  must(
    Number.isFinite(hashesPerSecond) && hashesPerSecond >= 0,
    'BAD_REQUEST',
    () => `hashesPerSecond: expected a number from 0, got ${hashesPerSecond}`,
  );
  return bounded(rule, (BigInt(Math.round(hashesPerSecond)) * 60n) / BigInt(rule.sharesPerMinute));
}

/**
 * The worker's difficulty from now on. Undefined while too little was seen to say: go on counting. Otherwise
 * count anew from here, also where it is the same as before.
 */
export function nextDifficulty(
  rule: VardiffRule,
  current: bigint,
  { shares, ms }: Observed,
): bigint | undefined {
  // Both in shares times milliseconds; their quotient is the factor by which the difficulty is off.
  const came = BigInt(shares) * MINUTE_MS;
  const wished = BigInt(rule.sharesPerMinute) * BigInt(Math.max(1, Math.round(ms)));
  const inWindow = BigInt(rule.sharesPerMinute) * BigInt(rule.windowMs);
  if (ms < rule.windowMs && came < BigInt(rule.step) * inWindow) return undefined;
  const slack = BigInt(rule.slack);
  if (came <= wished * slack && wished <= came * slack) return bounded(rule, current);
  const step = BigInt(rule.step);
  const ideal = (current * came) / wished;
  return bounded(rule, clamp(ideal, current / step, current * step));
}

/** The easiest target whose shares take so many hashes on average: ⌊2^256 / difficulty⌋ − 1. */
export function shareTarget(difficulty: bigint): bigint {
  must(
    difficulty >= 1n && difficulty <= MAX_TARGET,
    'BAD_REQUEST',
    () => `difficulty: expected 1 to 2^256-1, got ${difficulty}`,
  );
  return (MAX_TARGET + 1n) / difficulty - 1n;
}

function bounded({ easiest, hardest }: VardiffRule, difficulty: bigint): bigint {
  return clamp(difficulty, easiest, hardest);
}

function clamp(value: bigint, least: bigint, most: bigint): bigint {
  if (value < least) return least;
  return value > most ? most : value;
}
