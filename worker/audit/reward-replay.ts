import type { SealedSubmission } from '#shared/block/audit-chains.ts';
import { JournalAudit } from '#shared/block/audit-journal.ts';
import { RewardTotals } from '#shared/block/audit-rewards.ts';
import type { Attestation } from '#shared/block/body.ts';
import { isSealed, type Move, rewardsHash } from '#shared/block/journal.ts';
import { WORK_KINDS, type WorkKind } from '#shared/block/work-log.ts';
import { equalBytes, toHex } from '#shared/crypto/bytes.ts';
import { addressOf } from '#shared/crypto/keys.ts';
import { must } from '#shared/errors/pool-error.ts';
import { accruedAccount } from '#shared/reward/keyless-account.ts';
import { rewardMoves, rewardParts } from '#shared/reward/reward-moves.ts';
import { gainOf, type RewardTerms, rewardTerms } from '#shared/reward/schedule.ts';
import { type Holding, windowSpan } from '#shared/reward/unit-window.ts';
import { at, onBlock } from '#worker/audit/finding.ts';
import type { HeldOutWork } from '#worker/audit/held-out.ts';
import type { AuditSource } from '#worker/audit/source.ts';
import { WorkReader } from '#worker/audit/work-reader.ts';

/** A reward as it follows from chain, logs and journal, beside what the journal has. */
export interface RecomputedReward {
  /** B height of the seal. */
  readonly height: number;
  readonly submission: Uint8Array;
  readonly terms: RewardTerms;
  readonly expected: readonly Move[];
  readonly found: Move[];
  /** Whether the seal fixed just what is expected. */
  readonly fixedSo: boolean;
}

export interface ReplayInputs {
  readonly networkId: Uint8Array;
  /** In the order of the chain, genesis included. */
  readonly seals: readonly SealedSubmission[];
  readonly heldOut: HeldOutWork;
  /** Entries that stood before the chain was read: no reward among them lacks a seal. */
  readonly until: number;
  done(rewards: number): void;
}

/**
 * Computes every reward anew: the journal and both logs of work are replayed from their first item to the places that
 * each seal names, and what follows from them there is held against what the journal has for that submission.
 * PROTOCOL §10. JOURNAL where a log or the journal is broken; differences between rewards are returned.
 */
export class RewardReplay {
  readonly #source: AuditSource;
  readonly #inputs: ReplayInputs;
  readonly #totals = new RewardTotals();
  readonly #rewards = new Map<string, RecomputedReward>();
  /** Entries of rewards by submission. */
  readonly #found = new Map<string, Move[]>();
  /** Submissions whose rewards stood before the chain was read. */
  readonly #mustBeSealed = new Set<string>();
  readonly #logs: Record<WorkKind, WorkReader>;
  readonly journal: JournalAudit;

  constructor(source: AuditSource, inputs: ReplayInputs) {
    this.#source = source;
    this.#inputs = inputs;
    const { networkId, seals, heldOut } = inputs;
    this.journal = new JournalAudit(networkId);
    const log = (kind: WorkKind) => new WorkReader(source, { networkId, kind, seals, heldOut });
    this.#logs = { evaluation: log('evaluation'), grinding: log('grinding') };
  }

  /** Units replayed of each log. */
  get units(): Readonly<Record<WorkKind, number>> {
    return { evaluation: this.#logs.evaluation.count, grinding: this.#logs.grinding.count };
  }

  async run(): Promise<RecomputedReward[]> {
    let before: SealedSubmission | undefined;
    for (const sealed of this.#inputs.seals) {
      if (before) await this.#recompute(sealed, before);
      before = sealed;
      this.#inputs.done(this.#rewards.size);
    }
    await this.#readJournal(Number.POSITIVE_INFINITY);
    this.#checkStrangers();
    return [...this.#rewards.values()];
  }

  async #recompute(sealed: SealedSubmission, before: SealedSubmission): Promise<void> {
    const { seal, submission, miner, meta, after } = sealed;
    const { networkId } = this.#inputs;
    const { manifest } = meta;
    const height = after.position.index;
    await this.#readJournal(seal.journal.seq);
    onBlock('B', height, () => this.#checkPlace(sealed));
    const shared = {} as Record<WorkKind, readonly Holding[]>;
    for (const kind of WORK_KINDS) {
      await this.#logs[kind].readTo(seal.work[kind].seq);
      const place = { sealed: before.seal.work[kind].seq, next: seal.work[kind].seq };
      shared[kind] = this.#logs[kind].holdings(windowSpan(manifest.reward, kind, place));
    }
    onBlock('B', height, () => this.#logs.evaluation.mustCredit(before));
    const [attestation] = seal.certificate?.attestations ?? [];
    const terms = rewardTerms(manifest.reward, this.#totals.next(gainOf(attestation as Attestation)));
    const parts = rewardParts({
      ...{ manifest, units: terms.units, submitter: addressOf(miner) },
      ...{ evaluations: shared.evaluation, grindings: shared.grinding },
    });
    const expected = rewardMoves(parts, {
      networkId,
      manifest,
      submission,
      accrued: (owner) => this.#accrued(owner),
    });
    const fixedSo = equalBytes(rewardsHash(networkId, expected), seal.rewards);
    const found = this.#foundFor(submission);
    this.#rewards.set(toHex(submission), { height, submission, terms, expected, found, fixedSo });
  }

  #checkPlace({ seal }: SealedSubmission): void {
    const { seq, head, root } = this.journal.journal;
    must(
      seq === seal.journal.seq && equalBytes(head, seal.journal.head) && equalBytes(root, seal.journal.root),
      'JOURNAL',
      () =>
        `it was made on a journal of ${seal.journal.seq} entries up to ${toHex(seal.journal.head)}, here that is ${toHex(head)}`,
    );
  }

  #accrued(owner: string) {
    const account = accruedAccount(this.#inputs.networkId, owner);
    return { account, units: this.journal.balances.get(account) ?? 0n };
  }

  #foundFor(submission: Uint8Array): Move[] {
    const id = toHex(submission);
    const found = this.#found.get(id) ?? [];
    this.#found.set(id, found);
    return found;
  }

  /** Replays entries up to below number `to`, or to where the journal ends now. */
  async #readJournal(to: number): Promise<void> {
    for (;;) {
      const { seq } = this.journal.journal;
      if (seq >= to) return;
      const page = await this.#source.journal(seq);
      const told = Math.min(to, page.journal.seq) - seq;
      for (const bytes of page.entries.slice(0, Math.max(0, told))) this.#append(bytes);
      if (this.journal.journal.seq > seq) continue;
      if (page.journal.seq <= seq && to === Number.POSITIVE_INFINITY) return;
      at(`journal entry ${seq}`, () => must(false, 'JOURNAL', 'this entry is missing'));
    }
  }

  #append(bytes: Uint8Array): void {
    const { seq } = this.journal.journal;
    at(`journal entry ${seq}`, () => {
      const entry = this.journal.append(bytes);
      this.#totals.add(entry);
      if (isSealed(entry.kind)) this.#foundFor(entry.ref).push(entry);
      // Those behind may pay for blocks that were sealed after the chain was read.
      if (isSealed(entry.kind) && seq < this.#inputs.until) this.#mustBeSealed.add(toHex(entry.ref));
    });
  }

  #checkStrangers(): void {
    for (const id of this.#mustBeSealed)
      at('the journal', () =>
        must(this.#rewards.has(id), 'JOURNAL', `it rewards submission ${id}, which no block seals`),
      );
  }
}
