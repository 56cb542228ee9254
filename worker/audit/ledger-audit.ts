import { ChainsAudit, type SealedSubmission } from '#shared/block/audit-chains.ts';
import { VestingAudit } from '#shared/block/audit-vesting.ts';
import { must } from '#shared/errors/pool-error.ts';
import { differencesOf, type RewardDifference } from '#worker/audit/differences.ts';
import { type Finding, findingOf, onBlock } from '#worker/audit/finding.ts';
import { checkEpochs, type HeldOutWork } from '#worker/audit/held-out.ts';
import { readMetaPayload } from '#worker/audit/payloads.ts';
import { type RecomputedReward, RewardReplay } from '#worker/audit/reward-replay.ts';
import { type AuditSource, blocksOf } from '#worker/audit/source.ts';
import { AuditSteps, type CheckLine, type StepDependencies } from '#worker/audit/steps.ts';

export interface LedgerAuditDependencies extends StepDependencies {
  readonly source: AuditSource;
}

export interface LedgerReport {
  readonly coordinator: string;
  readonly network: string;
  readonly name: string;
  readonly height: { readonly A: number; readonly B: number };
  readonly checks: readonly CheckLine[];
  /** Rewards computed anew, and what they mint. */
  readonly rewards: number;
  readonly mintedUnits: bigint;
  readonly differences: readonly RewardDifference[];
  readonly finding: Finding | undefined;
  readonly ms: number;
}

/**
 * Computes every reward of a pool anew from its chains, its logs of work and its journal, over its public API and
 * believing nothing, and tells every difference to what was paid. Rejects where it cannot go on.
 */
export async function auditLedger(dependencies: LedgerAuditDependencies): Promise<LedgerReport> {
  return new LedgerAudit(dependencies).run();
}

class LedgerAudit {
  readonly #deps: LedgerAuditDependencies;
  readonly #chains = new ChainsAudit();
  readonly #seals: SealedSubmission[] = [];
  readonly #steps: AuditSteps;
  #rewards: readonly RecomputedReward[] = [];

  constructor(dependencies: LedgerAuditDependencies) {
    this.#deps = dependencies;
    this.#steps = new AuditSteps(dependencies);
  }

  async run(): Promise<LedgerReport> {
    const { source, now, progress } = this.#deps;
    const start = now();
    const view = await source.model();
    // Before the blocks: whatever is paid in it has its seal among them.
    const { journal } = await source.journal(0);
    let finding: Finding | undefined;
    try {
      await this.#readChains();
      await this.#replay(journal.seq);
    } catch (error) {
      finding = findingOf(error);
      if (finding === undefined) throw error;
    } finally {
      progress.end();
    }
    const { network, name, head, meta } = view;
    return {
      ...{ coordinator: source.coordinator, network, name, height: { A: meta.index, B: head.index } },
      ...{ checks: this.#steps.lines, rewards: this.#rewards.length },
      mintedUnits: this.#rewards.reduce((sum, { terms }) => sum + terms.units, 0n),
      differences: this.#rewards.flatMap(differencesOf),
      ...{ finding, ms: now() - start },
    };
  }

  #readChains(): Promise<void> {
    const { source } = this.#deps;
    return this.#steps.step('blocks', 1, async (done) => {
      let count = 0;
      for await (const block of blocksOf(source, 'A')) {
        const payload = await readMetaPayload(source, block.header);
        onBlock('A', block.header.index, () => this.#chains.applyMeta(block, payload));
        done(++count);
      }
      for await (const block of blocksOf(source, 'B')) {
        const sealed = onBlock('B', block.header.index, () => this.#chains.applyParameter(block));
        if (sealed) this.#seals.push(sealed);
        done(++count);
      }
      must(this.#seals.length > 0, 'NOT_FOUND', 'the pool has no chain');
      return { count, note: 'of both chains: links, work, signatures, certificates' };
    });
  }

  /** The work of held-out checks is credited as well. */
  async #heldOut(): Promise<HeldOutWork> {
    const { networkId, meta } = this.#chains;
    const vesting = new VestingAudit(networkId);
    for (const sealed of this.#seals) vesting.seal(sealed);
    vesting.ruledBy(meta.manifest.validation);
    const run = { networkId, vesting, shards: false, done: () => {} };
    return (await checkEpochs(this.#deps.source, run)).work;
  }

  async #replay(until: number): Promise<void> {
    await this.#steps.step('rewards', 1, async (done) => {
      const { networkId } = this.#chains;
      const [seals, heldOut] = [this.#seals, await this.#heldOut()];
      const replay = new RewardReplay(this.#deps.source, { networkId, seals, heldOut, until, done });
      this.#rewards = await replay.run();
      const { evaluation, grinding } = replay.units;
      this.#steps.line(
        'evaluation units',
        evaluation,
        'links, places in seals, one per attestation, credits',
      );
      this.#steps.line('grinding units', grinding, 'links, places in seals, no hash twice');
      this.#steps.line('journal entries', replay.journal.journal.seq, 'links, places in seals, conservation');
      return {
        count: this.#rewards.length,
        note: 'computed anew: amounts, windows, splits, vesting, payouts',
      };
    });
  }
}
