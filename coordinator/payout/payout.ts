import type { Chain } from '#coordinator/chain/chain.ts';
import type { WorkUnits } from '#coordinator/ledger/work-units.ts';
import { rewardMoves } from '#coordinator/payout/reward-moves.ts';
import type { SubmissionRecord } from '#coordinator/store/submissions.ts';
import type { Move } from '#shared/block/journal.ts';
import type { WorkKind, WorkPlaces } from '#shared/block/work-log.ts';
import { addressOf } from '#shared/crypto/keys.ts';

/** The payout stage: fixes who gets what for a submission, before its nonces are sought. */
export class PayoutStage {
  readonly #parts: { chain: Chain; units: WorkUnits };

  constructor(parts: { chain: Chain; units: WorkUnits }) {
    this.#parts = parts;
  }

  /**
   * The moves of the reward, and the logs of work that they follow from: work credited until now shares it, what is
   * found meanwhile counts for the next.
   */
  async plan(record: SubmissionRecord): Promise<{ work: WorkPlaces; rewards: Move[] }> {
    const { chain, units } = this.#parts;
    const { manifest } = chain.meta;
    const work = units.places;
    const windowOf = (kind: WorkKind) => units.newest(kind, manifest.reward.window_units, work[kind].seq);
    const rewards = rewardMoves({
      manifest,
      submission: record.id,
      submitter: addressOf(record.miner),
      evaluations: await windowOf('evaluation'),
      grindings: await windowOf('grinding'),
    });
    return { work, rewards };
  }
}
