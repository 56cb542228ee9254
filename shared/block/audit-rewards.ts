import type { Seal } from '#shared/block/body.ts';
import {
  type EntryKind,
  type JournalEntry,
  type JournalHead,
  type Move,
  rewardsHash,
} from '#shared/block/journal.ts';
import type { Manifest } from '#shared/block/manifest.ts';
import { equalBytes, isZero, toHex } from '#shared/crypto/bytes.ts';
import { addressOf } from '#shared/crypto/keys.ts';
import { must } from '#shared/errors/pool-error.ts';
import { splitAmount } from '#shared/money.ts';

/** What the block that seals a submission says about money. */
export interface RewardClaim {
  /** B height of the seal. */
  readonly height: number;
  readonly submission: Uint8Array;
  readonly miner: Uint8Array;
  readonly seal: Pick<Seal, 'journal' | 'rewards'>;
  readonly manifest: Pick<Manifest, 'reward' | 'pool_key'>;
}

interface OpenClaim extends RewardClaim {
  readonly moves: Move[];
}

/**
 * Holds the journal against the seals: each seal names a journal that is a prefix of this one, and its submission
 * is paid exactly what the seal fixed before its nonce was sought, and nobody else is paid a reward. PROTOCOL §10.
 * First all claims, then the journal from its first entry.
 */
export class RewardAudit {
  readonly #networkId: Uint8Array;
  readonly #claims = new Map<string, OpenClaim>();
  readonly #byPrefix = new Map<number, RewardClaim[]>();

  constructor(networkId: Uint8Array) {
    this.#networkId = networkId;
  }

  claim(claim: RewardClaim): void {
    const { submission, seal, height } = claim;
    const prefix = this.#byPrefix.get(seal.journal.seq) ?? [];
    prefix.push(claim);
    this.#byPrefix.set(seal.journal.seq, prefix);
    if (isZero(submission)) {
      must(isZero(seal.rewards), 'JOURNAL', `B${height}: genesis pays nobody`);
      return;
    }
    const id = toHex(submission);
    must(!this.#claims.has(id), 'BLOCK_BODY', `B${height}: submission ${id} was sealed before`);
    this.#claims.set(id, { ...claim, moves: [] });
  }

  /** To be called with every place of the journal, from the empty one on. */
  place(journal: JournalHead): void {
    const { seq, head } = journal;
    for (const { seal, height } of this.#byPrefix.get(seq) ?? []) {
      must(
        equalBytes(seal.journal.head, head),
        'JOURNAL',
        () =>
          `B${height}: it was made on a journal of ${seq} entries up to ${toHex(seal.journal.head)}, here that is ${toHex(head)}`,
      );
      must(
        equalBytes(seal.journal.root, journal.root),
        'JOURNAL',
        () =>
          `B${height}: it names Merkle root ${toHex(seal.journal.root)} of ${seq} entries, theirs is ${toHex(journal.root)}`,
      );
    }
    this.#byPrefix.delete(seq);
  }

  /** To be called with every entry. JOURNAL for a reward that no seal fixed. */
  entry(entry: JournalEntry): void {
    if (!entry.kind.startsWith('reward-')) return;
    const claim = this.#claims.get(toHex(entry.ref));
    must(claim, 'JOURNAL', () => `it rewards submission ${toHex(entry.ref)}, which no block seals`);
    must(
      entry.seq >= claim.seal.journal.seq,
      'JOURNAL',
      () => `it stands before the journal that B${claim.height} was made on`,
    );
    claim.moves.push(entry);
  }

  /**
   * When the journal has been walked: checks every claim and returns how many. Those above B height `upTo` may still
   * be unpaid, since they were sealed after the journal was read.
   */
  settle(upTo: number): number {
    for (const claims of this.#byPrefix.values())
      for (const { height, seal } of claims)
        must(
          height > upTo,
          'JOURNAL',
          `B${height}: it was made on a journal of ${seal.journal.seq} entries; there are fewer`,
        );
    let settled = 0;
    for (const claim of this.#claims.values()) {
      if (claim.height > upTo && claim.moves.length === 0) continue;
      checkRewards(this.#networkId, claim, claim.moves);
      settled += 1;
    }
    return settled;
  }
}

/** PROTOCOL §10: that these moves, in order, are what the seal fixed and what the Meta block's split gives. */
export function checkRewards(networkId: Uint8Array, claim: RewardClaim, moves: readonly Move[]): void {
  const { height, seal, miner, manifest } = claim;
  const at = `B${height}`;
  must(
    equalBytes(rewardsHash(networkId, moves), seal.rewards),
    'JOURNAL',
    () => `${at}: the ${moves.length} reward entries of its submission are not those it fixed`,
  );
  const { units, split_bp } = manifest.reward;
  const { submitter, evaluators, grinders, pool } = split_bp;
  const parts = splitAmount(units, [submitter, evaluators, grinders, pool].map(BigInt));
  REWARD_KINDS.forEach((kind, i) => {
    const sum = moves.reduce((total, move) => (move.kind === kind ? total + move.amount : total), 0n);
    must(sum === parts[i], 'JOURNAL', `${at}: expected ${parts[i]} units of kind ${kind}, got ${sum}`);
  });
  const owners = new Map<EntryKind, string>([
    ['reward-submitter', addressOf(miner)],
    ['reward-pool', addressOf(manifest.pool_key)],
  ]);
  for (const { kind, to } of moves)
    must(
      owners.get(kind) === undefined || owners.get(kind) === to,
      'JOURNAL',
      `${at}: expected its ${kind} to go to ${owners.get(kind)}, got ${to}`,
    );
}

/** In the order of the split. */
const REWARD_KINDS = ['reward-submitter', 'reward-evaluator', 'reward-grinder', 'reward-pool'] as const;
