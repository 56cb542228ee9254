import type { Seal } from '#shared/block/body.ts';
import {
  isSealed,
  type JournalEntry,
  type JournalHead,
  MINTING_KINDS,
  type Move,
  mints,
  rewardsHash,
} from '#shared/block/journal.ts';
import type { Manifest } from '#shared/block/manifest.ts';
import { equalBytes, isZero, toHex } from '#shared/crypto/bytes.ts';
import { addressOf } from '#shared/crypto/keys.ts';
import { must } from '#shared/errors/pool-error.ts';
import { BASIS_POINTS } from '#shared/money.ts';
import { accruedAccount, vestingAccount } from '#shared/reward/keyless-account.ts';
import { splitByKind } from '#shared/reward/reward-moves.ts';
import { gainOf, type RewardFacts, rewardTerms } from '#shared/reward/schedule.ts';

/** What the block that seals a submission says about money. */
export interface RewardClaim {
  /** B height of the seal. */
  readonly height: number;
  readonly submission: Uint8Array;
  readonly miner: Uint8Array;
  readonly seal: Pick<Seal, 'journal' | 'rewards' | 'certificate'>;
  readonly manifest: Pick<Manifest, 'reward' | 'pool_key'>;
}

interface OpenClaim extends RewardClaim {
  readonly moves: Move[];
  /** What its amount follows from, once the journal that it was made on was walked. */
  facts: RewardFacts | undefined;
}

/**
 * Holds the journal against the seals: each seal names a journal that is a prefix of this one, and its submission
 * is paid exactly what the seal fixed before its nonce was sought and what the Meta block's schedule gives, and nobody
 * else is paid a reward. PROTOCOL §10. First all claims in the order of the seals, then the journal from its first
 * entry.
 */
export class RewardAudit {
  readonly #networkId: Uint8Array;
  readonly #claims = new Map<string, OpenClaim>();
  readonly #byPrefix = new Map<number, RewardClaim[]>();
  readonly #journal = new RewardTotals();
  #paidLast: OpenClaim | undefined;

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
    this.#claims.set(id, { ...claim, moves: [], facts: undefined });
  }

  /** To be called with every place of the journal, from the empty one on. */
  place(journal: JournalHead): void {
    const { seq, head } = journal;
    for (const { seal, submission, height } of this.#byPrefix.get(seq) ?? []) {
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
      const claim = this.#claims.get(toHex(submission));
      if (claim) this.#reached(claim);
    }
    this.#byPrefix.delete(seq);
  }

  /** To be called with every entry. JOURNAL for a reward that no seal fixed. */
  entry(entry: JournalEntry): void {
    this.#journal.add(entry);
    if (!isSealed(entry.kind)) return;
    const claim = this.#claims.get(toHex(entry.ref));
    must(claim, 'JOURNAL', () => `it rewards submission ${toHex(entry.ref)}, which no block seals`);
    must(
      claim.facts !== undefined,
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
      checkRewards(this.#networkId, claim, claim.moves, claim.facts);
      settled += 1;
    }
    return settled;
  }

  /** The journal stands where this claim was made, and holds all that was fixed before. */
  #reached(claim: OpenClaim): void {
    const { seal, height } = claim;
    const last = this.#paidLast;
    if (last) checkHash(this.#networkId, last, last.moves);
    this.#paidLast = claim;
    const [attestation] = seal.certificate?.attestations ?? [];
    must(attestation, 'BLOCK_CERTIFICATE', `B${height}: the seal has no certificate`);
    claim.facts = this.#journal.next(gainOf(attestation));
  }
}

/** Counts in the journal what the size of each reward follows from. PROTOCOL §10. */
export class RewardTotals {
  #sealed = 0;
  #minted = 0n;
  #forfeited = 0n;
  /** Of it what stood in the journal of the reward before. */
  #mintedAgain = 0n;

  add({ kind, amount }: Pick<JournalEntry, 'kind' | 'amount'>): void {
    if (mints(kind)) this.#minted += amount;
    if (kind === 'forfeit') this.#forfeited += amount;
  }

  /** The facts of the next reward, which is made on the journal up to here. */
  next(gain: RewardFacts['gain']): RewardFacts {
    const issued = this.#minted - this.#mintedAgain;
    const forfeited = this.#forfeited - this.#mintedAgain;
    this.#mintedAgain = this.#forfeited;
    return { sealed: this.#sealed++, gain, issued, forfeited };
  }
}

/**
 * PROTOCOL §10: that these moves, in order, are what the seal fixed and what the Meta block's split gives; where
 * `facts` tells how it came to the reward, also that they sum to it.
 */
export function checkRewards(
  networkId: Uint8Array,
  claim: RewardClaim,
  moves: readonly Move[],
  facts?: RewardFacts,
): void {
  checkHash(networkId, claim, moves);
  const { height, manifest } = claim;
  const at = `B${height}`;
  const sums = MINTING_KINDS.map((kind) =>
    moves.reduce((total, move) => (move.kind === kind ? total + move.amount : total), 0n),
  );
  const minted = sums.reduce((total, sum) => total + sum, 0n);
  const { units } = facts === undefined ? { units: minted } : rewardTerms(manifest.reward, facts);
  const split = splitByKind(units, manifest.reward.split_bp);
  [split.submitter, split.evaluators, split.grinders, split.pool].forEach((part, i) => {
    must(
      sums[i] === part,
      'JOURNAL',
      `${at}: expected ${part} units of kind ${MINTING_KINDS[i]}, got ${sums[i]}`,
    );
  });
  for (const move of moves) checkSides(networkId, claim, move);
  const vested = moves.reduce((sum, { kind, amount }) => (kind === 'vest' ? sum + amount : sum), 0n);
  const vesting = (split.submitter * BigInt(manifest.reward.vesting_bp)) / BASIS_POINTS;
  must(vested === vesting, 'JOURNAL', `${at}: expected ${vesting} units of kind vest, got ${vested}`);
}

function checkHash(networkId: Uint8Array, { height, seal }: RewardClaim, moves: readonly Move[]): void {
  must(
    equalBytes(rewardsHash(networkId, moves), seal.rewards),
    'JOURNAL',
    () => `B${height}: the ${moves.length} entries of its submission's reward are not those it fixed`,
  );
}

/** That a move goes between those that its kind names; who worked, the journal alone does not show. */
function checkSides(networkId: Uint8Array, claim: RewardClaim, { kind, from, to }: Move): void {
  const expected = sidesOf(networkId, claim, { kind, to });
  for (const [side, address] of Object.entries({ from, to }))
    must(
      expected[side as 'from' | 'to'] === undefined || expected[side as 'from' | 'to'] === address,
      'JOURNAL',
      `B${claim.height}: expected its ${kind} ${side} ${expected[side as 'from' | 'to']}, got ${address}`,
    );
}

function sidesOf(
  networkId: Uint8Array,
  { miner, manifest }: RewardClaim,
  { kind, to }: Pick<Move, 'kind' | 'to'>,
): { readonly from?: string; readonly to?: string } {
  if (kind === 'reward-submitter') return { to: addressOf(miner) };
  if (kind === 'reward-pool') return { to: addressOf(manifest.pool_key) };
  if (kind === 'vest') return { from: addressOf(miner), to: vestingAccount(networkId) };
  if (kind === 'payout' && to !== null) return { from: accruedAccount(networkId, to) };
  return {};
}
