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

/** So long an answer is given again: adding up thousands of accounts is not to be had for every request. */
const KEPT_MS = 1_000;

/** What would share a reward that was planned now, for the usual gain. */
interface Planned {
  readonly units: bigint;
  readonly scheme: PoolSharesView['windows'][number]['scheme'];
  readonly slices: readonly Slice[];
}

interface Slice {
  readonly kind: WorkKind;
  readonly amount: bigint;
  readonly shared: SharedWork;
  readonly parts: readonly Part[];
}

/** Answers who would share a reward that was planned now, or a moment ago. */
export function sharesViewer(parts: SharesParts): (query: SharesQuery) => Promise<PoolSharesView> {
  let kept: { readonly planned: Promise<Planned>; readonly untilMs: number } | undefined;
  return async (query) => {
    const nowMs = performance.now();
    if (!kept || kept.untilMs < nowMs) kept = { planned: plan(parts), untilMs: nowMs + KEPT_MS };
    const { units, scheme, slices } = await kept.planned;
    return { reward: units.toString(), windows: slices.map((slice) => windowView(slice, scheme, query)) };
  };
}

async function plan(parts: SharesParts): Promise<Planned> {
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
  return {
    units,
    scheme: reward.scheme ?? 'pplns',
    slices: [
      { kind: 'evaluation', amount: split.evaluators, shared: evaluation, parts: evaluators },
      { kind: 'grinding', amount: split.grinders, shared: grinding, parts: grinders },
    ],
  };
}

function windowView(
  { kind, amount, shared, parts }: Slice,
  scheme: Planned['scheme'],
  query: SharesQuery,
): PoolSharesView['windows'][number] {
  const { span, holdings } = shared;
  return {
    ...{ kind, scheme, from: span.from, to: span.to, ...heldView(totalOf(holdings)) },
    ...{ amount: amount.toString(), ...listed(shared, parts, query) },
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
