import type { Chain } from '#coordinator/chain/chain.ts';
import type { WorkUnits } from '#coordinator/ledger/work-units.ts';
import { rewardMoves } from '#coordinator/payout/reward-moves.ts';
import type { SubmissionRecord } from '#coordinator/store/submissions.ts';
import type { Move } from '#shared/block/journal.ts';
import { addressOf } from '#shared/crypto/keys.ts';

/** The payout stage: fixes who gets what for a submission, before its nonces are sought. */
export class PayoutStage {
  readonly #parts: { chain: Chain; units: WorkUnits };

  constructor(parts: { chain: Chain; units: WorkUnits }) {
    this.#parts = parts;
  }

  /** The moves of the reward: work credited until now shares it, what is found meanwhile counts for the next. */
  async plan(record: SubmissionRecord): Promise<Move[]> {
    const { chain, units } = this.#parts;
    const { manifest } = chain.meta;
    return rewardMoves({
      manifest,
      submission: record.id,
      submitter: addressOf(record.miner),
      evaluations: await units.newest('evaluation', manifest.reward.window_units),
      grindings: await units.newest('grinding', manifest.reward.window_units),
    });
  }
}
