import type { Chain } from '#coordinator/chain/chain.ts';
import type { Ledger, LedgerPosition } from '#coordinator/ledger/ledger.ts';
import { rewardFacts } from '#coordinator/ledger/reward-facts.ts';
import type { RewardWindows } from '#coordinator/ledger/reward-windows.ts';
import type { StoredVerdict, SubmissionRecord } from '#coordinator/store/submissions.ts';
import type { WriteLock } from '#coordinator/store/write-lock.ts';
import type { Attestation } from '#shared/block/body.ts';
import type { JournalHead, Move } from '#shared/block/journal.ts';
import type { WorkPlaces } from '#shared/block/work-log.ts';
import { addressOf } from '#shared/crypto/keys.ts';
import { PoolError } from '#shared/errors/pool-error.ts';
import { accruedAccount } from '#shared/reward/keyless-account.ts';
import { type Accrued, type Credit, rewardMoves, rewardParts } from '#shared/reward/reward-moves.ts';
import { gainOf, type RewardTerms, rewardTerms } from '#shared/reward/schedule.ts';

export interface PayoutParts {
  readonly chain: Pick<Chain, 'networkId' | 'meta' | 'submissionsSealed' | 'block' | 'height'>;
  readonly windows: Pick<RewardWindows, 'now'>;
  readonly ledger: Pick<Ledger, 'sums' | 'position' | 'balances' | 'forfeitedBetween'>;
  readonly lock: WriteLock;
}

/** A reward as the seal will name it. */
export interface RewardPlan {
  /** The journal and the logs of work that it was made on. */
  readonly journal: JournalHead;
  readonly work: WorkPlaces;
  readonly rewards: readonly Move[];
}

/** The payout stage: fixes who gets what for a submission, before its nonces are sought. */
export class PayoutStage {
  readonly #parts: PayoutParts;

  constructor(parts: PayoutParts) {
    this.#parts = parts;
  }

  /** False where money was found to have appeared or vanished. */
  get mayPay(): boolean {
    return this.#parts.ledger.sums;
  }

  /**
   * Plans the reward by the ruling Meta block: work credited until now shares it, what is found meanwhile counts for
   * the next. PROTOCOL §10.
   */
  async plan(record: SubmissionRecord): Promise<RewardPlan> {
    const { chain, windows } = this.#parts;
    const { networkId, meta } = chain;
    const { manifest } = meta;
    const { places: work, ...shared } = await windows.now();
    const { holdings: evaluations } = shared.evaluation;
    const { holdings: grindings } = shared.grinding;
    const { position, accrued } = await this.#ledger([...evaluations, ...grindings]);
    const terms = await this.#terms(record, position);
    const submitter = addressOf(record.miner);
    const parts = rewardParts({ manifest, units: terms.units, submitter, evaluations, grindings });
    const rewards = rewardMoves(parts, { networkId, manifest, submission: record.id, accrued });
    return { journal: position.journal, work, rewards };
  }

  async #terms(record: SubmissionRecord, position: LedgerPosition): Promise<RewardTerms> {
    const [attestation] = (record.verdict as StoredVerdict).attestations;
    const facts = await rewardFacts(this.#parts, position, gainOf(attestation as Attestation));
    return rewardTerms(this.#parts.chain.meta.manifest.reward, facts);
  }

  /** The journal, and what had accrued in it to each who may be paid. */
  async #ledger(
    credits: readonly Credit[],
  ): Promise<{ position: LedgerPosition; accrued: (owner: string) => Accrued }> {
    const { chain, ledger, lock } = this.#parts;
    const { manifest } = chain.meta;
    if (manifest.reward.min_payout_units === undefined)
      return { position: ledger.position, accrued: noneAccrued };
    const owners = [...new Set([...credits.map(({ address }) => address), addressOf(manifest.pool_key)])];
    const accounts = new Map(owners.map((owner) => [owner, accruedAccount(chain.networkId, owner)]));
    // Under the lock: whoever sends to such an account meanwhile must not change what the journal here tells.
    return lock.run(async () => {
      const { position } = ledger;
      const balances = await ledger.balances(accounts.values());
      const accrued = (owner: string): Accrued => {
        const account = accounts.get(owner) as string;
        return { account, units: balances.get(account) as bigint };
      };
      return { position, accrued };
    });
  }
}

/** Nothing gathers without a minimum payout. */
function noneAccrued(owner: string): Accrued {
  throw new PoolError('INTERNAL', `the accrued parts of ${owner} were not read`);
}
