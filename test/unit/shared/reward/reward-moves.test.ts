import assert from 'node:assert/strict';
import { it } from 'node:test';
import fc from 'fast-check';
import type { Move } from '#shared/block/journal.ts';
import type { Manifest } from '#shared/block/manifest.ts';
import { addressOf } from '#shared/crypto/keys.ts';
import { type Accrued, type Credit, rewardMoves, rewardParts } from '#shared/reward/reward-moves.ts';
import { META, MINER, NETWORK } from '#test/helpers/forge.ts';
import { readVectors } from '#test/helpers/vectors.ts';

const submission = new Uint8Array(32).fill(7);
const submitter = addressOf(MINER.publicKey);
const addresses = ['a', 'b', 'c', 'd'].map((letter) => `0x${letter.repeat(40)}`);
const credits = fc.array(
  fc.record({ address: fc.constantFrom(...addresses), credit: fc.bigInt({ min: 0n, max: 1n << 80n }) }),
  { maxLength: 30 },
);
const split = fc
  .array(fc.nat(10_000), { minLength: 3, maxLength: 3 })
  .map((cuts) => [0, ...cuts.sort((a, b) => a - b), 10_000])
  .map((at) => at.slice(1).map((cut, i) => cut - (at[i] as number)))
  .map(([a = 0, b = 0, c = 0, d = 0]) => ({ submitter: a, evaluators: b, grinders: c, pool: d }));

const moves = (
  evaluations: readonly Credit[],
  grindings: readonly Credit[],
  reward: {
    units: bigint;
    split_bp: { submitter: number; evaluators: number; grinders: number; pool: number };
  },
) => {
  const manifest = { ...META.manifest, reward: { ...META.manifest.reward, ...reward, vesting_bp: 0 } };
  const { units } = reward;
  const parts = rewardParts({ manifest, units, submitter, evaluations, grindings });
  return rewardMoves(parts, { networkId: NETWORK, manifest, submission, accrued: () => assert.fail() });
};

const { plans } = readVectors<{
  plans: {
    name: string;
    network: Uint8Array;
    submission: Uint8Array;
    submitter: string;
    pool_key: Uint8Array;
    units: number | bigint;
    evaluations: [string, number | bigint][];
    grindings: [string, number | bigint][];
    accrued: [owner: string, account: string, units: number | bigint][];
    reward: Pick<Manifest['reward'], 'split_bp' | 'vesting_bp'> & { min_payout_units?: number | bigint };
    moves: [Move['kind'], Uint8Array, string | null, string, number | bigint][];
  }[];
}>('rewards');

const creditsOf = (list: [string, number | bigint][]): Credit[] =>
  list.map(([address, credit]) => ({ address, credit: BigInt(credit) }));

for (const { name, network, submission: id, submitter: to, pool_key, ...plan } of plans)
  it(`pays as the vectors do: ${name}`, () => {
    const { min_payout_units: minimum, ...rest } = plan.reward;
    const manifest = {
      pool_key,
      reward: {
        ...{ ...META.manifest.reward, ...rest },
        ...(minimum !== undefined && { min_payout_units: BigInt(minimum) }),
      },
    };
    const accrued = new Map(
      plan.accrued.map(([owner, account, units]): [string, Accrued] => [
        owner,
        { account, units: BigInt(units) },
      ]),
    );
    const parts = rewardParts({
      ...{ manifest, units: BigInt(plan.units), submitter: to },
      ...{ evaluations: creditsOf(plan.evaluations), grindings: creditsOf(plan.grindings) },
    });
    assert.deepEqual(
      rewardMoves(parts, {
        networkId: network,
        manifest,
        submission: id,
        accrued: (owner) => accrued.get(owner) as Accrued,
      }),
      plan.moves.map(([kind, ref, from, payee, amount]) => ({
        kind,
        ref,
        from,
        to: payee,
        amount: BigInt(amount),
      })),
    );
  });

it('sums to the reward, to the last unit, whatever the work and the split', () => {
  fc.assert(
    fc.property(
      credits,
      credits,
      split,
      fc.bigInt({ min: 1n, max: 10n ** 20n }),
      (evaluations, grindings, split_bp, units) => {
        const list = moves(evaluations, grindings, { units, split_bp });
        assert.equal(
          list.reduce((sum, { amount }) => sum + amount, 0n),
          units,
        );
        assert.ok(list.every(({ amount, from }) => amount > 0n && from === null));
      },
    ),
  );
});

it('does not depend on the order of the units', () => {
  fc.assert(
    fc.property(credits, fc.infiniteStream(fc.nat()), (list, chance) => {
      const shuffled = list
        .map((credit) => ({ credit, at: chance.next().value as number }))
        .sort((a, b) => a.at - b.at)
        .map(({ credit }) => credit);
      const reward = {
        units: 1_000_003n,
        split_bp: { submitter: 0, evaluators: 10_000, grinders: 0, pool: 0 },
      };
      assert.deepEqual(moves(list, [], reward), moves(shuffled, [], reward));
    }),
  );
});

it('gives three equal workers parts that differ by one unit at most', () => {
  const equal = addresses.slice(0, 3).map((address) => ({ address, credit: 5n }));
  const reward = {
    units: 5n * 10n ** 9n,
    split_bp: { submitter: 0, evaluators: 0, grinders: 10_000, pool: 0 },
  };
  const amounts = moves([], equal, reward)
    .filter(({ kind }) => kind === 'reward-grinder')
    .map(({ amount }) => amount);
  assert.deepEqual(amounts, [1_666_666_666n, 1_666_666_667n, 1_666_666_667n]);
});

it('gives the pool what nobody worked for', () => {
  const reward = {
    units: 100n,
    split_bp: { submitter: 6_000, evaluators: 2_000, grinders: 1_500, pool: 500 },
  };
  const list = moves([], [], reward);
  const pool = addressOf(META.manifest.pool_key);
  assert.equal(
    list.filter(({ to }) => to === pool).reduce((sum, { amount }) => sum + amount, 0n),
    40n,
  );
});
