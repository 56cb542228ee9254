import { BUCKET, bucketKey, bucketRange } from '#coordinator/store/keys.ts';
import { del, type KV, type KvOp, put } from '#coordinator/store/kv.ts';
import type { JournalEntry } from '#shared/block/journal.ts';
import { concatBytes, readU64be, u64be, utf8ToBytes } from '#shared/crypto/bytes.ts';
import type { Vested } from '#shared/reward/vested.ts';

/* What is vesting now: an index that follows from the journal's entries of the kinds vest, release and forfeit. */

const ADDRESS_BYTES = 42;
const utf8 = new TextDecoder();

/** What these entries change in the index. */
export function vestingOps(entries: readonly JournalEntry[]): KvOp[] {
  return entries.flatMap(({ kind, ref, from, amount }) => {
    if (kind === 'vest') return put(key(ref), concatBytes(utf8ToBytes(from as string), u64be(amount)));
    if (kind === 'release' || kind === 'forfeit') return del(key(ref));
    return [];
  });
}

/** What vests of a submission's reward; undefined where nothing does, or does no more. */
export async function vestedOf(kv: KV, submission: Uint8Array): Promise<Vested | undefined> {
  const value = await kv.get(key(submission));
  return value && decode(submission, value);
}

/** Everything that vests: of the seals of the epochs that are not settled. */
export async function allVested(kv: KV): Promise<Vested[]> {
  const all: Vested[] = [];
  for await (const [key, value] of kv.entries(bucketRange(BUCKET.vesting)))
    all.push(decode(key.slice(1), value));
  return all;
}

const key = (submission: Uint8Array) => bucketKey(BUCKET.vesting, submission);

function decode(submission: Uint8Array, value: Uint8Array): Vested {
  const submitter = utf8.decode(value.subarray(0, ADDRESS_BYTES));
  return { submission, submitter, amount: readU64be(value, ADDRESS_BYTES) };
}
