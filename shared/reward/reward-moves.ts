import type { EntryKind, Move } from '#shared/block/journal.ts';
import type { Manifest } from '#shared/block/manifest.ts';
import { addressOf } from '#shared/crypto/keys.ts';
import { BASIS_POINTS, splitAmount } from '#shared/money.ts';
import { vestingAccount } from '#shared/reward/keyless-account.ts';

export interface Credit {
  readonly address: string;
  readonly credit: bigint;
}

export interface RewardInputs {
  readonly manifest: Pick<Manifest, 'reward' | 'pool_key'>;
  /** Base units that are split: see schedule.ts. */
  readonly units: bigint;
  readonly submitter: string;
  /** What the window of each kind holds; a slice without credit goes to the pool. */
  readonly evaluations: readonly Credit[];
  readonly grindings: readonly Credit[];
}

/** Amount that an address gets. */
export interface Part {
  readonly address: string;
  readonly amount: bigint;
}

/** A reward split to the last unit; the parts of a kind in the order of their addresses, none of them zero. */
export interface RewardParts {
  readonly submitter: readonly Part[];
  readonly evaluators: readonly Part[];
  readonly grinders: readonly Part[];
  readonly pool: readonly Part[];
}

/** Amounts by basis points, in the order of `RewardParts`. */
export function splitByKind(
  units: bigint,
  split: Manifest['reward']['split_bp'],
): Record<keyof RewardParts, bigint> {
  const { submitter, evaluators, grinders, pool } = split;
  const amounts = splitAmount(units, [submitter, evaluators, grinders, pool].map(BigInt));
  const [toSubmitter = 0n, toEvaluators = 0n, toGrinders = 0n, toPool = 0n] = amounts;
  return { submitter: toSubmitter, evaluators: toEvaluators, grinders: toGrinders, pool: toPool };
}

/** Who gets what of one reward: first by basis points, then each kind of work over its credit. PROTOCOL §10. */
export function rewardParts(inputs: RewardInputs): RewardParts {
  const { reward, pool_key } = inputs.manifest;
  const pool = addressOf(pool_key);
  const amounts = splitByKind(inputs.units, reward.split_bp);
  const one = (address: string, amount: bigint) => (amount > 0n ? [{ address, amount }] : []);
  return {
    submitter: one(inputs.submitter, amounts.submitter),
    evaluators: splitByAddress(amounts.evaluators, withDefault(inputs.evaluations, pool)),
    grinders: splitByAddress(amounts.grinders, withDefault(inputs.grindings, pool)),
    pool: one(pool, amounts.pool),
  };
}

const withDefault = (credits: readonly Credit[], pool: string): readonly Credit[] =>
  credits.some(({ credit }) => credit > 0n) ? credits : [{ address: pool, credit: BASIS_POINTS }];

/** One part per address, in address order, so that everybody computes the same list. */
function splitByAddress(amount: bigint, credits: readonly Credit[]): Part[] {
  const byAddress = new Map<string, bigint>();
  for (const { address, credit } of credits) byAddress.set(address, (byAddress.get(address) ?? 0n) + credit);
  const ordered = [...byAddress].sort(([a], [b]) => (a < b ? -1 : 1));
  const parts = splitAmount(
    amount,
    ordered.map(([, credit]) => credit),
  );
  return ordered
    .map(([address], i) => ({ address, amount: parts[i] as bigint }))
    .filter((part) => part.amount > 0n);
}

/** An owner's account for parts below the minimum payout, and what is on it. */
export interface Accrued {
  readonly account: string;
  readonly units: bigint;
}

export interface MoveInputs {
  readonly networkId: Uint8Array;
  readonly manifest: Pick<Manifest, 'reward'>;
  readonly submission: Uint8Array;
  /** Asked only with a minimum payout, of owners who have parts for work. */
  readonly accrued: (owner: string) => Accrued;
}

/**
 * The moves of one reward, in their order: what is minted for the submitter, the evaluators, the grinders and the
 * pool, what the submitter's part leaves to vest, and the accrued parts that reached the minimum. PROTOCOL §10.
 */
export function rewardMoves(parts: RewardParts, inputs: MoveInputs): Move[] {
  const { networkId, manifest, submission, accrued } = inputs;
  const { vesting_bp, min_payout_units } = manifest.reward;
  const move = (kind: EntryKind, from: string | null, { address: to, amount }: Part): Move => ({
    ...{ kind, ref: submission, from, to, amount },
  });
  const due = min_payout_units === undefined ? undefined : dueOwners(parts, accrued, min_payout_units);
  const payee = ({ address, amount }: Part): Part => {
    const gathers = due !== undefined && !due.has(address);
    return { address: gathers ? accrued(address).account : address, amount };
  };
  const vesting = parts.submitter
    .map(({ address, amount }) => ({ from: address, amount: (amount * BigInt(vesting_bp)) / BASIS_POINTS }))
    .filter(({ amount }) => amount > 0n);
  const payouts = [...(due ?? [])].sort().map((owner) => ({ owner, ...accrued(owner) }));
  return [
    ...parts.submitter.map((part) => move('reward-submitter', null, part)),
    ...parts.evaluators.map((part) => move('reward-evaluator', null, payee(part))),
    ...parts.grinders.map((part) => move('reward-grinder', null, payee(part))),
    ...parts.pool.map((part) => move('reward-pool', null, part)),
    ...vesting.map(({ from, amount }) => move('vest', from, { address: vestingAccount(networkId), amount })),
    ...payouts
      .filter(({ units }) => units > 0n)
      .map(({ owner, account, units }) => move('payout', account, { address: owner, amount: units })),
  ];
}

/** Owners whose parts of this reward, with what accrued before, reach the minimum. */
function dueOwners(
  { evaluators, grinders }: RewardParts,
  accrued: MoveInputs['accrued'],
  minimum: bigint,
): Set<string> {
  const totals = new Map<string, bigint>();
  for (const { address, amount } of [...evaluators, ...grinders])
    totals.set(address, (totals.get(address) ?? accrued(address).units) + amount);
  return new Set([...totals].filter(([, total]) => total >= minimum).map(([address]) => address));
}
