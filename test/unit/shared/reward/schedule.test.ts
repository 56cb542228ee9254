import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Manifest } from '#shared/block/manifest.ts';
import { gainOf, type RewardFacts, rewardTerms } from '#shared/reward/schedule.ts';
import { readVectors } from '#test/helpers/vectors.ts';

type Numbers = Record<string, number | bigint | null>;
type Schedule = NonNullable<Manifest['reward']['schedule']>;

const { schedules } = readVectors<{
  schedules: {
    reward: { units: number | bigint; schedule?: Schedule & { supply_units?: number | bigint } };
    facts: Record<'sealed' | 'sum' | 'windows' | 'issued' | 'forfeited', number>;
    terms: Numbers;
  }[];
}>('rewards');

const rewardOf = (units: number | bigint, schedule?: Schedule): Manifest['reward'] => ({
  units: BigInt(units),
  split_bp: { submitter: 10_000, evaluators: 0, grinders: 0, pool: 0 },
  ...{ window_units: 1, vesting_bp: 0, ...(schedule && { schedule }) },
});
const schedule: Schedule = { gain_micro_nats: 40_000, least_bp: 2_500, most_bp: 20_000 };

test('rewards are as large as those of the vectors', () => {
  for (const { reward, facts, terms } of schedules) {
    const { supply_units, ...plan } = reward.schedule ?? schedule;
    const given = { ...plan, ...(supply_units !== undefined && { supply_units: BigInt(supply_units) }) };
    const found: Numbers = {
      ...rewardTerms(rewardOf(reward.units, reward.schedule && given), factsOf(facts)),
    };
    for (const [name, value] of Object.entries(terms))
      assert.equal(
        found[name] === null ? null : String(found[name]),
        value === null ? null : String(value),
        name,
      );
  }
});

function factsOf({
  sealed,
  sum,
  windows,
  issued,
  forfeited,
}: (typeof schedules)[number]['facts']): RewardFacts {
  const gain = { sumMicroNats: BigInt(sum), windows };
  return { sealed, gain, issued: BigInt(issued), forfeited: BigInt(forfeited) };
}

test('property: whatever is accepted, no more is minted than the supply', () => {
  const gains = fc.array(fc.bigInt({ min: 0n, max: 10n ** 9n }), { minLength: 1, maxLength: 300 });
  fc.assert(
    fc.property(
      gains,
      fc.integer({ min: 1, max: 50 }),
      fc.bigInt({ min: 0n, max: 10n ** 4n }),
      (sums, every, supply) => {
        const reward = rewardOf(1_000n, { ...schedule, halving_seals: every, supply_units: supply });
        let issued = 0n;
        sums.forEach((sumMicroNats, sealed) => {
          const gain = { sumMicroNats, windows: 16 };
          const { units } = rewardTerms(reward, { sealed, gain, issued, forfeited: 0n });
          assert.ok(units >= 0n);
          issued += units;
        });
        assert.ok(issued <= supply);
      },
    ),
  );
});

test('property: a larger gain is never paid less, and what was forfeited comes on top', () => {
  const sum = fc.bigInt({ min: -(10n ** 9n), max: 10n ** 12n });
  fc.assert(
    fc.property(sum, sum, fc.bigInt({ min: 0n, max: 10n ** 12n }), (a, b, forfeited) => {
      const unitsOf = (sumMicroNats: bigint, more: bigint) =>
        rewardTerms(rewardOf(50n, schedule), {
          ...{ sealed: 0, gain: { sumMicroNats, windows: 64 }, issued: 0n, forfeited: more },
        }).units;
      const [less, more] = a < b ? [a, b] : [b, a];
      assert.ok(unitsOf(less, 0n) <= unitsOf(more, 0n));
      assert.equal(unitsOf(a, forfeited), unitsOf(a, 0n) + forfeited);
    }),
  );
});

test('the gain is that of the first attestation, windows as many as it has', () => {
  assert.deepEqual(gainOf({ base: [5, 9], candidate: [7, 1] }), { sumMicroNats: 6n, windows: 2 });
});
