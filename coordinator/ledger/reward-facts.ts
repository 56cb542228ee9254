import type { Chain } from '#coordinator/chain/chain.ts';
import type { Ledger, LedgerPosition } from '#coordinator/ledger/ledger.ts';
import { decodeParameterBody } from '#shared/block/body.ts';
import type { Block } from '#shared/block/verify-block.ts';
import type { RewardFacts } from '#shared/reward/schedule.ts';

export interface FactsParts {
  readonly chain: Pick<Chain, 'submissionsSealed' | 'block' | 'height'>;
  readonly ledger: Pick<Ledger, 'forfeitedBetween'>;
}

/** What the next reward follows from where the ledger stands there and this gain is certified. PROTOCOL §10. */
export async function rewardFacts(
  { chain, ledger }: FactsParts,
  { journal, totals }: LedgerPosition,
  gain: RewardFacts['gain'],
): Promise<RewardFacts> {
  const head = (await chain.block('B', chain.height('B'))) as Block;
  const before = decodeParameterBody(head.body).seal?.journal.seq ?? 0;
  const forfeited = await ledger.forfeitedBetween(before, journal.seq);
  const issued = totals.minted - (totals.forfeited - forfeited);
  return { sealed: chain.submissionsSealed, gain, issued, forfeited };
}
