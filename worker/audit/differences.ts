import type { Move } from '#shared/block/journal.ts';
import { toHex } from '#shared/crypto/bytes.ts';
import { PoolError } from '#shared/errors/pool-error.ts';
import type { RecomputedReward } from '#worker/audit/reward-replay.ts';

/** A move of a reward that the journal has and ought not to have, or the reverse. */
export interface RewardDifference {
  /** B height of the seal. */
  readonly height: number;
  readonly submission: string;
  readonly kind: string;
  /** Null where it is minted. */
  readonly from: string | null;
  readonly to: string | null;
  /** Base units. */
  readonly expected: bigint;
  readonly found: bigint;
  /** Whether the seal fixed what is expected: then the journal was changed behind it. */
  readonly sealFixedExpected: boolean;
}

type Sums = Map<
  string,
  { readonly kind: string; readonly from: string | null; readonly to: string | null; units: bigint }
>;

/** Move by move: what is expected and what was found, where these differ. */
export function differencesOf({
  height,
  submission,
  expected,
  found,
  fixedSo,
}: RecomputedReward): RewardDifference[] {
  const [ought, has] = [sumsOf(expected), sumsOf(found)];
  const keys = [...new Set([...ought.keys(), ...has.keys()])];
  return keys
    .map((key) => {
      const { kind, from, to } = (ought.get(key) ?? has.get(key)) as NonNullable<ReturnType<Sums['get']>>;
      return {
        ...{ height, submission: toHex(submission), kind, from, to },
        ...{ expected: ought.get(key)?.units ?? 0n, found: has.get(key)?.units ?? 0n },
        sealFixedExpected: fixedSo,
      };
    })
    .filter((difference) => difference.expected !== difference.found);
}

function sumsOf(moves: readonly Move[]): Sums {
  const sums: Sums = new Map();
  for (const { kind, from, to, amount } of moves) {
    const key = `${kind} ${from} ${to}`;
    const sum = sums.get(key) ?? { kind, from, to, units: 0n };
    sum.units += amount;
    sums.set(key, sum);
  }
  return sums;
}

/** JOURNAL: the reward is another than the one that follows. */
export function refuseDifference({ kind, to, expected, found, sealFixedExpected }: RewardDifference): never {
  const seal = sealFixedExpected ? 'as the seal fixed it' : 'though the seal fixed it otherwise';
  throw new PoolError(
    'JOURNAL',
    `expected ${expected} units of kind ${kind} to ${to ?? 'nobody'}, ${seal}; got ${found}`,
  );
}
