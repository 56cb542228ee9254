import { corrupt } from '#coordinator/store/io-error.ts';
import { BUCKET, bucketKey } from '#coordinator/store/keys.ts';
import { type KV, type KvOp, put } from '#coordinator/store/kv.ts';
import { decodeEntry, type JournalEntry } from '#shared/block/journal.ts';
import { concatBytes, readU64be, u64be } from '#shared/crypto/bytes.ts';

/** The signed fields of a transfer that its entry does not hold. */
export interface TransferTerms {
  readonly nonce: bigint;
  readonly expiry: bigint;
  /** 65 bytes, r ‖ s ‖ v. */
  readonly signature: Uint8Array;
}

/** A transfer of the journal with all that was signed. */
export interface TransferRecord extends TransferTerms {
  readonly entry: JournalEntry;
}

/** Number in the journal of each of these transfers; undefined for those that do not stand there. */
export async function transferPlaces(
  kv: KV,
  digests: readonly Uint8Array[],
): Promise<(number | undefined)[]> {
  const values = await kv.getMany(digests.map(transferKey));
  return values.map((value) => value && Number(readU64be(value)));
}

/** What was signed for an entry of kind `transfer`, by its `ref`. */
export async function readTransfer(kv: KV, digest: Uint8Array): Promise<TransferRecord | undefined> {
  const value = await kv.get(transferKey(digest));
  if (!value) return undefined;
  const entry = await transferEntry(kv, Number(readU64be(value)));
  return { entry, nonce: readU64be(value, 8), expiry: readU64be(value, 16), signature: value.slice(24) };
}

export async function transferEntry(kv: KV, seq: number): Promise<JournalEntry> {
  const bytes = await kv.get(bucketKey(BUCKET.journalEntry, seq));
  if (!bytes) throw corrupt(`journal entry ${seq} is missing`);
  return decodeEntry(bytes);
}

/** To be written with the entry. */
export function transferOp({ ref, seq }: JournalEntry, { nonce, expiry, signature }: TransferTerms): KvOp {
  return put(transferKey(ref), concatBytes(u64be(seq), u64be(nonce), u64be(expiry), signature));
}

const transferKey = (digest: Uint8Array): Uint8Array => bucketKey(BUCKET.transfer, digest);
