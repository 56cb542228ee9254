import type { Move } from '#shared/block/journal.ts';
import type { Manifest } from '#shared/block/manifest.ts';
import { addressOf } from '#shared/crypto/keys.ts';
import { BASIS_POINTS, splitAmount } from '#shared/money.ts';

export interface Credit {
  readonly address: string;
  readonly credit: bigint;
}

export interface RewardInputs {
  readonly manifest: Manifest;
  /** Submission that is rewarded. */
  readonly submission: Uint8Array;
  readonly submitter: string;
  /** Units of the window of each kind; a slice without units goes to the pool. */
  readonly evaluations: readonly Credit[];
  readonly grindings: readonly Credit[];
}

/**
 * The moves that mint and split the reward of one accepted submission. PROTOCOL §10. First by basis points, then
 * each kind of work over its units, all by cumulative floor: the moves sum to the reward, to the last unit.
 */
export function rewardMoves(inputs: RewardInputs): Move[] {
  const { reward, pool_key } = inputs.manifest;
  const pool = addressOf(pool_key);
  const { submitter, evaluators, grinders, pool: poolBp } = reward.split_bp;
  const weights = [submitter, evaluators, grinders, poolBp].map(BigInt);
  const [toSubmitter = 0n, toEvaluators = 0n, toGrinders = 0n, toPool = 0n] = splitAmount(
    reward.units,
    weights,
  );
  const mint = (kind: Move['kind'], to: string, amount: bigint): Move => ({
    kind,
    ref: inputs.submission,
    from: null,
    to,
    amount,
  });
  const shared = (kind: Move['kind'], amount: bigint, credits: readonly Credit[]) =>
    splitByAddress(amount, credits).map((part) => mint(kind, part.address, part.amount));
  const moves = [
    mint('reward-submitter', inputs.submitter, toSubmitter),
    ...shared('reward-evaluator', toEvaluators, withDefault(inputs.evaluations, pool)),
    ...shared('reward-grinder', toGrinders, withDefault(inputs.grindings, pool)),
    mint('reward-pool', pool, toPool),
  ];
  return moves.filter((move) => move.amount > 0n);
}

const withDefault = (credits: readonly Credit[], pool: string): readonly Credit[] =>
  credits.some(({ credit }) => credit > 0n) ? credits : [{ address: pool, credit: BASIS_POINTS }];

/** One part per address, in address order, so that everybody computes the same list. */
function splitByAddress(amount: bigint, credits: readonly Credit[]): { address: string; amount: bigint }[] {
  const byAddress = new Map<string, bigint>();
  for (const { address, credit } of credits) byAddress.set(address, (byAddress.get(address) ?? 0n) + credit);
  const ordered = [...byAddress].sort(([a], [b]) => (a < b ? -1 : 1));
  const parts = splitAmount(
    amount,
    ordered.map(([, credit]) => credit),
  );
  return ordered.map(([address], i) => ({ address, amount: parts[i] as bigint }));
}
