import type { Chain } from '#coordinator/chain/chain.ts';
import type { Ledger } from '#coordinator/ledger/ledger.ts';
import { rewardFacts } from '#coordinator/ledger/reward-facts.ts';
import type { RewardWindows, SharedWork } from '#coordinator/ledger/reward-windows.ts';
import type { PoolSharesView, SharesQuery } from '#shared/api/reward-schemas.ts';
import type { WorkKind } from '#shared/block/work-log.ts';
import { byAddress, type Held, totalOf } from '#shared/reward/holdings.ts';
import { type Part, rewardParts, splitByKind } from '#shared/reward/reward-moves.ts';
import { rewardTerms } from '#shared/reward/schedule.ts';

export interface SharesParts {
  readonly chain: Chain;
  readonly ledger: Ledger;
  readonly windows: Pick<RewardWindows, 'now'>;
}

/** Who would share a reward that was planned now, for the usual gain. */
export async function sharesView(parts: SharesParts, query: SharesQuery): Promise<PoolSharesView> {
  const { chain, ledger, windows } = parts;
  const { reward, pool_key } = chain.meta.manifest;
  const usual = { sumMicroNats: BigInt(reward.schedule?.gain_micro_nats ?? 0), windows: 1 };
  const { units } = rewardTerms(reward, await rewardFacts(parts, ledger.position, usual));
  const { evaluation, grinding } = await windows.now();
  const { evaluators, grinders } = rewardParts({
    ...{ manifest: { reward, pool_key }, units, submitter: '' },
    ...{ evaluations: evaluation.holdings, grindings: grinding.holdings },
  });
  const split = splitByKind(units, reward.split_bp);
  const scheme = reward.scheme ?? 'pplns';
  const window = (kind: WorkKind, shared: SharedWork, slice: { amount: bigint; parts: readonly Part[] }) => ({
    ...{ kind, scheme, from: shared.span.from, to: shared.span.to },
    ...heldView(totalOf(shared.holdings)),
    ...{ amount: slice.amount.toString(), ...listed(shared, slice.parts, query) },
  });
  return {
    reward: units.toString(),
    windows: [
      window('evaluation', evaluation, { amount: split.evaluators, parts: evaluators }),
      window('grinding', grinding, { amount: split.grinders, parts: grinders }),
    ],
  };
}

/** Those with the most credit. */
function listed({ holdings }: SharedWork, parts: readonly Part[], { address, limit }: SharesQuery) {
  const expected = new Map(parts.map((part) => [part.address, part.amount]));
  const own = holdings.filter((held) => address === undefined || held.address === address);
  const accounts = byAddress(own).sort(byCredit).slice(0, limit);
  const workers = [...own].sort(byCredit).slice(0, limit);
  return {
    accounts: accounts.map((held) => ({
      ...{ address: held.address, ...heldView(held) },
      expected: (expected.get(held.address) ?? 0n).toString(),
    })),
    workers: workers.map((held) => ({ worker: held.worker, address: held.address, ...heldView(held) })),
  };
}

export const heldView = ({ units, credit }: Held) => ({ units, credit: credit.toString() });

const byCredit = (a: Held, b: Held): number => (a.credit === b.credit ? 0 : a.credit < b.credit ? 1 : -1);
