import type { SealedSubmission } from '#shared/block/audit-chains.ts';
import type { JournalEntry } from '#shared/block/journal.ts';
import type { Manifest } from '#shared/block/manifest.ts';
import { equalBytes, isZero, toHex } from '#shared/crypto/bytes.ts';
import { addressOf } from '#shared/crypto/keys.ts';
import { must } from '#shared/errors/pool-error.ts';
import {
  countSeal,
  type Epoch,
  type EpochCount,
  goesOn,
  heldOutWindows,
  NO_EPOCHS,
} from '#shared/pol/epochs.ts';
import { type HeldOutAttestation, verifyHeldOut } from '#shared/pol/held-out-evidence.ts';
import { deltaAt } from '#shared/pol/rule.ts';
import { vestingAccount } from '#shared/reward/keyless-account.ts';

/** An epoch as the chain makes it. */
export interface AuditedEpoch extends Epoch {
  readonly members: readonly SealedSubmission[];
  readonly windows: readonly number[];
  /** It takes no more seals. */
  readonly isOver: boolean;
}

/** What a pool shows of one re-check. */
export interface HeldOutEvidence {
  readonly submission: Uint8Array;
  readonly held: boolean;
  readonly attestations: readonly HeldOutAttestation[];
}

interface OpenEpoch extends AuditedEpoch {
  readonly members: SealedSubmission[];
  isOver: boolean;
}

interface Sealed {
  readonly sealed: SealedSubmission;
  /** Number of its epoch; undefined where it belongs to none. */
  readonly epoch: number | undefined;
  held: boolean | undefined;
  vested: bigint;
  isSettled: boolean;
}

/**
 * Holds what vests against the held-out checks: every part of a reward that vests is released or forfeited once, to
 * the last unit, and as the evidence of its epoch says. PROTOCOL §8 and §10. First all seals in the order of the
 * chain, then the evidence, then the journal from its first entry.
 */
export class VestingAudit {
  readonly #networkId: Uint8Array;
  readonly #account: string;
  readonly #epochs: OpenEpoch[] = [];
  readonly #seals = new Map<string, Sealed>();
  #count: EpochCount = NO_EPOCHS;

  constructor(networkId: Uint8Array) {
    this.#networkId = networkId;
    this.#account = vestingAccount(networkId);
  }

  get epochs(): readonly AuditedEpoch[] {
    return this.#epochs;
  }

  /** To be called with every seal. */
  seal(sealed: SealedSubmission): void {
    if (isZero(sealed.submission)) return;
    const { validation } = sealed.meta.manifest;
    this.ruledBy(validation);
    const { epoch, count } = countSeal(this.#count, validation);
    this.#count = count;
    const entry = { sealed, epoch: epoch?.number, held: undefined, vested: 0n, isSettled: false };
    this.#seals.set(toHex(sealed.submission), entry);
    if (!epoch) return;
    const windows = heldOutWindows(epoch, validation);
    const record = this.#epochs[epoch.number] ?? { ...epoch, members: [], windows, isOver: false };
    this.#epochs[epoch.number] = record;
    record.members.push(sealed);
    record.isOver = count.open === null;
  }

  /** To be called with the newest Meta block's part when all seals are read: what it does not go on with is over. */
  ruledBy(validation: Manifest['validation']): void {
    const newest = this.#epochs.at(-1);
    if (newest && !goesOn(this.#count, validation)) newest.isOver = true;
  }

  /** Checks what a pool shows of a re-check. BLOCK_CERTIFICATE where it proves nothing, or something else. */
  evidence(epoch: AuditedEpoch, { submission, held, attestations }: HeldOutEvidence): void {
    const seal = this.#seals.get(toHex(submission));
    must(
      epoch.isOver && seal?.epoch === epoch.number,
      'BLOCK_CERTIFICATE',
      () => `submission ${toHex(submission)} is not one of epoch ${epoch.number}, or that is not over`,
    );
    const { meta, before, after } = seal.sealed;
    const { gate, quorum } = meta.manifest;
    const target = {
      submission,
      root: epoch.root,
      baseRoot: before.root,
      candidateRoot: after.root,
      windows: epoch.windows,
      deltaMicroNats: deltaAt(gate, before.position.index),
    };
    const isHeld = verifyHeldOut(this.#networkId, target, { attestations, quorum });
    const said = (holds: boolean) => (holds ? 'holds out' : 'does not hold out');
    must(
      isHeld === held,
      'BLOCK_CERTIFICATE',
      () => `by its losses ${toHex(submission)} ${said(isHeld)}, the pool says that it ${said(held)}`,
    );
    seal.held = held;
  }

  /**
   * To be called with every entry. JOURNAL for what leaves the vesting account otherwise than by the rules. `isLate`
   * for entries that are newer than chain and evidence: of what is not known, they may be right.
   */
  entry(entry: JournalEntry, isLate = false): void {
    const { kind, ref, from, amount } = entry;
    const seal = this.#seals.get(toHex(ref));
    if (kind === 'vest') {
      if (seal) seal.vested += amount;
      return;
    }
    const isSettling = kind === 'release' || kind === 'forfeit';
    must(
      isSettling === (from === this.#account),
      'JOURNAL',
      () =>
        `only what is released or forfeited leaves ${this.#account}, and all of it; this is of kind ${kind}`,
    );
    if (!isSettling || (isLate && (!seal || seal.held === undefined))) return;
    must(seal, 'JOURNAL', () => `it settles submission ${toHex(ref)}, which no block seals`);
    this.#settle(seal, entry);
  }

  /** When the journal has been walked: what was checked must be settled. Returns how many parts were. */
  finish(): number {
    const seals = [...this.#seals.values()];
    for (const { sealed, held, vested, isSettled } of seals)
      must(
        isSettled || held === undefined || vested === 0n,
        'JOURNAL',
        () => `B${sealed.after.position.index}: its held-out check is done, and ${vested} units still vest`,
      );
    return seals.filter(({ isSettled }) => isSettled).length;
  }

  #settle(seal: Sealed, { kind, to, amount, seq }: JournalEntry): void {
    const { sealed, epoch, held, vested } = seal;
    const at = `B${sealed.after.position.index}`;
    must(!seal.isSettled, 'JOURNAL', `${at}: what vested of its reward was settled before`);
    must(amount === vested, 'JOURNAL', `${at}: expected ${vested} units of kind ${kind}, got ${amount}`);
    if (epoch === undefined)
      must(
        kind === 'release',
        'JOURNAL',
        `${at}: nothing is checked at the end of no epoch, and nothing forfeited`,
      );
    else {
      const last = (this.#epochs[epoch] as AuditedEpoch).members.at(-1) as SealedSubmission;
      must(
        seq >= last.seal.journal.seq && held !== undefined,
        'JOURNAL',
        `${at}: it is settled before its epoch was over, or without evidence`,
      );
      must(
        (kind === 'release') === held,
        'JOURNAL',
        `${at}: expected ${held ? 'release' : 'forfeit'}, got ${kind}`,
      );
    }
    const owner = kind === 'release' ? addressOf(sealed.miner) : null;
    must(to === owner, 'JOURNAL', () => `${at}: expected its ${kind} to go to ${owner}, got ${to}`);
    seal.isSettled = true;
  }
}

/** That the revealed shards of an epoch are as many as it has, each at its place. */
export function checkRevealed(
  epoch: AuditedEpoch,
  told: { readonly root: Uint8Array; readonly indices: readonly number[] },
): void {
  const expected = Array.from({ length: epoch.shards }, (_, i) => epoch.firstShard + i);
  must(
    equalBytes(told.root, epoch.root) && told.indices.join() === expected.join(),
    'BLOCK_CERTIFICATE',
    () =>
      `epoch ${epoch.number}: expected shards ${expected.join(', ')} of root ${toHex(epoch.root)}, got ${told.indices.join(', ')}`,
  );
}
