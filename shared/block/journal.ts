import { z } from 'zod';
import { decodeCborAs, encodeCbor, zBigUint, zBytes, zUint } from '#shared/block/cbor.ts';
import { encodeEntryFast } from '#shared/block/entry-encoder.ts';
import { ZERO_32 } from '#shared/crypto/bytes.ts';
import { digest, digestStart, plainSha256, type Sha256 } from '#shared/crypto/digest.ts';
import { must } from '#shared/errors/pool-error.ts';

/** What can happen to money. Wire values: never renamed. */
export const ENTRY_KINDS = [
  'reward-submitter',
  'reward-evaluator',
  'reward-grinder',
  'reward-pool',
  'vest',
  'release',
  'forfeit',
  'transfer',
  'chat-reserve',
  'chat-settle',
  'chat-refund',
  'fee',
  'royalty',
  'burn',
  'adjustment',
  'payout',
] as const;
export type EntryKind = (typeof ENTRY_KINDS)[number];

/** The kinds that mint: rewards alone. In the order in which they stand in a reward, and of its split. */
export const MINTING_KINDS = [
  'reward-submitter',
  'reward-evaluator',
  'reward-grinder',
  'reward-pool',
] as const satisfies readonly EntryKind[];
/** The kinds whose money leaves the ledger; what is forfeited comes back with the next reward. */
const BURNING_KINDS: readonly EntryKind[] = ['burn', 'forfeit'];
/** What a seal fixes before its nonce is sought, and the commit appends. */
const SEALED_KINDS: readonly EntryKind[] = [...MINTING_KINDS, 'vest', 'payout'];

export const mints = (kind: EntryKind): boolean => (MINTING_KINDS as readonly EntryKind[]).includes(kind);
export const burns = (kind: EntryKind): boolean => BURNING_KINDS.includes(kind);
/** The kinds that a transfer makes, which counts in its sender's nonce. PROTOCOL §13. */
export const TRANSFER_KINDS: readonly EntryKind[] = ['transfer', 'burn'];

export const isSealed = (kind: EntryKind): boolean => SEALED_KINDS.includes(kind);

const moveShape = {
  kind: z.enum(ENTRY_KINDS),
  /** What caused it: a submission id, a transfer's digest. */
  ref: zBytes(32),
  /** Address debited, or null: minted. */
  from: z.string().nullable(),
  /** Address credited, or null: burned. */
  to: z.string().nullable(),
  amount: zBigUint,
};
const entrySchema = z.strictObject({
  v: z.literal(1),
  seq: zUint,
  prev: zBytes(32),
  at: zUint,
  ...moveShape,
});

/** One move of money, before it has its place in the journal. */
export type Move = z.infer<z.ZodObject<typeof moveShape>>;
/** A double entry of the journal, linked to the one before it. PROTOCOL §10. */
export type JournalEntry = z.infer<typeof entrySchema>;

/** Where the next entry is linked. */
export interface JournalLink {
  /** Number of entries. */
  readonly seq: number;
  /** Digest of the newest entry; zero when there is none. */
  readonly head: Uint8Array;
}

export interface JournalHead extends JournalLink {
  /** Merkle root over the bytes of all entries (PROTOCOL §3), by which one of them is proved without the others. */
  readonly root: Uint8Array;
}

export const EMPTY_JOURNAL: JournalHead = { seq: 0, head: ZERO_32, root: ZERO_32 };

export const encodeEntry: (entry: JournalEntry) => Uint8Array = encodeEntryFast;

export function decodeEntry(bytes: Uint8Array): JournalEntry {
  return decodeCborAs(entrySchema as unknown as z.ZodType<JournalEntry>, bytes, 'Journal entry');
}

export function entryDigest(networkId: Uint8Array, encoded: Uint8Array, hash = plainSha256): Uint8Array {
  return hash(...digestStart('journal', networkId), encoded);
}

/** PROTOCOL §10: what the sealing block commits to before its nonce is sought. Times and links come later. */
export function rewardsHash(networkId: Uint8Array, moves: readonly Move[]): Uint8Array {
  const list = moves.map(({ kind, ref, from, to, amount }) => [kind, ref, from, to, amount]);
  return digest('rewards', networkId, encodeCbor(list));
}

/** Links moves onto the journal: the entries and the new head. */
export function linkEntries(
  networkId: Uint8Array,
  journal: JournalLink,
  appended: { moves: readonly Move[]; at: number; hash?: Sha256 },
): { entries: { entry: JournalEntry; bytes: Uint8Array }[]; head: JournalLink } {
  let { seq, head } = journal;
  const { hash = plainSha256 } = appended;
  const start = digestStart('journal', networkId);
  const entries = appended.moves.map((move) => {
    must(move.amount > 0n, 'JOURNAL', 'expected an amount above zero');
    must(move.from !== move.to, 'JOURNAL', 'expected two different sides');
    const entry: JournalEntry = { v: 1, seq, prev: head, at: appended.at, ...move };
    const bytes = encodeEntry(entry);
    head = hash(...start, bytes);
    seq += 1;
    return { entry, bytes };
  });
  return { entries, head: { seq, head } };
}
