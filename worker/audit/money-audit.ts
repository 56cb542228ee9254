import type { ChainsAudit, SealedSubmission } from '#shared/block/audit-chains.ts';
import { JournalAudit } from '#shared/block/audit-journal.ts';
import { RewardAudit } from '#shared/block/audit-rewards.ts';
import { VestingAudit } from '#shared/block/audit-vesting.ts';
import {
  type EntryKind,
  type JournalEntry,
  type JournalHead,
  TRANSFER_KINDS,
} from '#shared/block/journal.ts';
import { checkAdjustments } from '#worker/audit/adjustments.ts';
import { differencesOf, refuseDifference } from '#worker/audit/differences.ts';
import { at, onBlock } from '#worker/audit/finding.ts';
import {
  type CheckedEpochs,
  checkEpochs,
  type HeldOutWork,
  type ShownEpochs,
} from '#worker/audit/held-out.ts';
import { checkBalances, replayJournal } from '#worker/audit/journal.ts';
import { RewardReplay } from '#worker/audit/reward-replay.ts';
import { checkPaidChats, checkTransfers } from '#worker/audit/signed-moves.ts';
import type { AuditSource } from '#worker/audit/source.ts';
import type { AuditSteps } from '#worker/audit/steps.ts';

/** What was read of the chains before. */
export interface AuditedChains {
  readonly chains: ChainsAudit;
  readonly seals: readonly SealedSubmission[];
  /** Of every Meta block. */
  readonly poolKeys: readonly Uint8Array[];
}

export interface MoneyAuditOptions {
  /** Where the journal ended before the chains were read. */
  readonly until: JournalHead;
  /** B height up to which the chain was read. */
  readonly height: number;
  /** Whether the bytes of revealed shards are fetched. */
  readonly shards: boolean;
}

const BALANCES_AT_ONCE = 8;
/** Refunds give back what an allowance covers. */
const SIGNED_KINDS: readonly EntryKind[] = ['adjustment', ...TRANSFER_KINDS, 'chat-reserve', 'chat-refund'];

/** Audits all that moves money: epochs, journal, rewards, what owners and operator signed, and balances. */
export class MoneyAudit {
  readonly #source: AuditSource;
  readonly #steps: AuditSteps;
  readonly #audited: AuditedChains;
  readonly #vesting: VestingAudit;
  /** Those that somebody signed for. */
  readonly #signedFor: JournalEntry[] = [];

  constructor(source: AuditSource, steps: AuditSteps, audited: AuditedChains) {
    this.#source = source;
    this.#steps = steps;
    this.#audited = audited;
    this.#vesting = new VestingAudit(audited.chains.networkId);
  }

  /** Resolves with what the pool shows of its epochs. Rejects with the first finding. */
  async run({ until, height, shards }: MoneyAuditOptions): Promise<ShownEpochs> {
    // Before the journal is read: what it settles has its evidence by then.
    const { shown, work } = await this.#heldOut(shards);
    const journal = await this.#journal(until, height);
    await this.#rewardsAnew(until.seq, work);
    this.#vested();
    await this.#signed();
    await this.#steps.step('balances', journal.balances.size, async (done) => {
      const count = await checkBalances(this.#source, { journal, atOnce: BALANCES_AT_ONCE, done });
      return { count, note: 'as GET /balance says' };
    });
    return shown;
  }

  get #networkId(): Uint8Array {
    return this.#audited.chains.networkId;
  }

  async #heldOut(shards: boolean): Promise<CheckedEpochs> {
    const { seals, chains } = this.#audited;
    const vesting = this.#vesting;
    for (const sealed of seals) vesting.seal(sealed);
    vesting.ruledBy(chains.meta.manifest.validation);
    const over = vesting.epochs.filter(({ isOver }) => isOver).length;
    let checked: CheckedEpochs = { shown: new Map(), work: new Map() };
    if (over === 0) return checked;
    await this.#steps.step('epochs', over, async (done) => {
      checked = await checkEpochs(this.#source, { networkId: this.#networkId, vesting, shards, done });
      const results = [...checked.shown.values()].flatMap((epoch) => epoch.results);
      const held = results.filter((result) => result.held).length;
      const note = `${results.length} held-out checks: ${held} hold, ${results.length - held} do not${shards ? '; shards lead to the root' : ''}`;
      return { count: over, note };
    });
    return checked;
  }

  async #journal(until: JournalHead, height: number): Promise<JournalAudit> {
    const journal = new JournalAudit(this.#networkId);
    const rewards = new RewardAudit(this.#networkId);
    const vesting = this.#vesting;
    await this.#steps.step('journal entries', until.seq, async (done) => {
      for (const { submission, miner, seal, meta, after } of this.#audited.seals) {
        const { index } = after.position;
        const { manifest } = meta;
        onBlock('B', index, () => rewards.claim({ height: index, submission, miner, seal, manifest }));
      }
      const entry = (appended: JournalEntry) => {
        if (SIGNED_KINDS.includes(appended.kind)) this.#signedFor.push(appended);
      };
      await replayJournal(this.#source, { journal, rewards, vesting, until: until.seq, entry, done });
      const { minted, burned } = journal.totals;
      const note = `links, amounts, conservation: ${minted} minted, ${burned} burned`;
      return { count: journal.journal.seq, note };
    });
    const settled = at('the journal', () => rewards.settle(height));
    this.#steps.line('rewards', settled, 'entries are those that the seals fixed');
    return journal;
  }

  #of(...kinds: readonly EntryKind[]): JournalEntry[] {
    return this.#signedFor.filter(({ kind }) => kinds.includes(kind));
  }

  /** From the logs of work to the last unit: a seal may have fixed what does not follow. */
  #rewardsAnew(until: number, heldOut: HeldOutWork): Promise<void> {
    const { seals } = this.#audited;
    const networkId = this.#networkId;
    return this.#steps.step('rewards computed anew', seals.length, async (done) => {
      const replay = new RewardReplay(this.#source, { networkId, seals, heldOut, until, done });
      const rewards = await replay.run();
      const [wrong] = rewards.flatMap(differencesOf);
      if (wrong) onBlock('B', wrong.height, () => refuseDifference(wrong));
      const { evaluation, grinding } = replay.units;
      return { count: rewards.length, note: `from ${evaluation} evaluation and ${grinding} grinding units` };
    });
  }

  #vested(): void {
    if (this.#vesting.epochs.length === 0) return;
    const parts = at('the journal', () => this.#vesting.finish());
    this.#steps.line('vested parts', parts, 'released or forfeited once, as the held-out checks say');
  }

  async #signed(): Promise<void> {
    const { poolKeys } = this.#audited;
    const networkId = this.#networkId;
    const adjustments = this.#of('adjustment');
    await checkAdjustments(this.#source, networkId, { entries: adjustments, poolKeys });
    if (adjustments.length > 0)
      this.#steps.line('adjustments', adjustments.length, 'signed by the pool, from its own account');
    await this.#signedByOwners('transfers', this.#of(...TRANSFER_KINDS), checkTransfers);
    await this.#signedByOwners('paid chats', this.#of('chat-reserve', 'chat-refund'), checkPaidChats);
  }

  async #signedByOwners(
    what: string,
    entries: readonly JournalEntry[],
    check: typeof checkTransfers,
  ): Promise<void> {
    const count = entries.filter(({ kind }) => kind !== 'chat-refund').length;
    if (count === 0) return;
    await this.#steps.step(what, count, async (done) => {
      await check(this.#source, { networkId: this.#networkId, entries, done });
      return { count, note: 'signed by the owners of the accounts, each once' };
    });
  }
}
