import { readU64be } from '#shared/crypto/bytes.ts';
import { digest } from '#shared/crypto/digest.ts';

/** What a pool remembers of a worker's results. */
export interface Reputation {
  readonly agreements: number;
  /** Agreements since the last disagreement. */
  readonly consecutive: number;
  readonly disagreements: number;
  /** Disagreements that weigh: every ten agreements in a row take one away. */
  readonly strikes: number;
  /** In a row, on jobs that others finished. */
  readonly timeouts: number;
}

export const NEWCOMER: Reputation = {
  agreements: 0,
  consecutive: 0,
  disagreements: 0,
  strikes: 0,
  timeouts: 0,
};

const FORGIVEN_AFTER = 10;
/** One may be a fault of memory or a driver; three within a few jobs are not. */
const MOST_STRIKES = 3;
const MOST_TIMEOUTS = 5;

export function afterAgreement(before: Reputation): Reputation {
  const consecutive = before.consecutive + 1;
  const forgiven = consecutive % FORGIVEN_AFTER === 0 ? 1 : 0;
  return {
    ...before,
    agreements: before.agreements + 1,
    consecutive,
    strikes: Math.max(0, before.strikes - forgiven),
    timeouts: 0,
  };
}

/** It was outvoted, or what it said of a known result is wrong. */
export function afterDisagreement(before: Reputation): Reputation {
  return {
    ...before,
    consecutive: 0,
    disagreements: before.disagreements + 1,
    strikes: before.strikes + 1,
    timeouts: 0,
  };
}

/** It did not answer in time what others answered. */
export function afterTimeout(before: Reputation): Reputation {
  return { ...before, timeouts: before.timeouts + 1 };
}

/** Such a worker gets no more work for a while. */
export function isOut({ strikes, timeouts }: Reputation): boolean {
  return strikes >= MOST_STRIKES || timeouts >= MOST_TIMEOUTS;
}

/**
 * PROTOCOL §8, adaptive replication: whether a trusted worker's refusal is checked by a full committee all the
 * same, with probability 1/consecutive. The salt is secret until the head is left, so the worker cannot foresee
 * it, and revealed then, so anyone can tell whether the pool kept to it.
 */
export function isRechecked(
  networkId: Uint8Array,
  about: { readonly submission: Uint8Array; readonly worker: Uint8Array; readonly salt: Uint8Array },
  consecutive: number,
): boolean {
  const seed = digest('recheck', networkId, about.submission, about.worker, about.salt);
  return readU64be(seed) * BigInt(Math.max(1, consecutive)) < 2n ** 64n;
}
