import { BUCKET, bucketKey, bucketRange } from '#coordinator/store/keys.ts';
import { type KV, type KvOp, put } from '#coordinator/store/kv.ts';
import { decodeEntry, type JournalEntry } from '#shared/block/journal.ts';
import { readU64be, u64be } from '#shared/crypto/bytes.ts';

/* Which journal entries touch an account, and which forfeit: indices that follow from the journal. */

const NOTHING = new Uint8Array(0);
/** Entries of a journal from before the index that are read at once. */
const INDEX_BATCH = 1_000;

/** Puts entries into the indices, which then holds the first `count` of the journal. */
export function entryIndexOps(entries: readonly JournalEntry[], count: number): KvOp[] {
  const touched = entries.flatMap(({ seq, from, to }) =>
    [from, to].filter((address) => address !== null).map((address) => put(entryKey(address, seq), NOTHING)),
  );
  const forfeits = entries
    .filter(({ kind }) => kind === 'forfeit')
    .map(({ seq, amount }) => put(bucketKey(BUCKET.forfeit, seq), u64be(amount)));
  return [...touched, ...forfeits, put(bucketKey(BUCKET.accountIndex), u64be(count))];
}

/** Completes the index of a journal that was written without it. */
export async function indexMissing(kv: KV, count: number): Promise<void> {
  const stored = await kv.get(bucketKey(BUCKET.accountIndex));
  let next = stored ? Number(readU64be(stored)) : 0;
  while (next < count) {
    const entries: JournalEntry[] = [];
    const range = { gte: bucketKey(BUCKET.journalEntry, next), lt: bucketRange(BUCKET.journalEntry).lt };
    for await (const [, value] of kv.entries({ ...range, limit: INDEX_BATCH }))
      entries.push(decodeEntry(value));
    if (entries.length === 0) return;
    next += entries.length;
    await kv.batch(entryIndexOps(entries, next), { durable: false });
  }
}

/** Entries of an account with a sequence below `before`, newest first. */
export async function accountEntries(
  kv: KV,
  address: string,
  page: { readonly before: number | undefined; readonly limit: number },
): Promise<JournalEntry[]> {
  const { gte, lt } = bucketRange(BUCKET.accountEntry, address);
  const end = page.before === undefined ? lt : entryKey(address, page.before);
  const keys: Uint8Array[] = [];
  for await (const [key] of kv.entries({ gte, lt: end, reverse: true, limit: page.limit }))
    keys.push(bucketKey(BUCKET.journalEntry, readU64be(key, key.length - 8)));
  const values = await kv.getMany(keys);
  return values.filter((value) => value !== undefined).map(decodeEntry);
}

const entryKey = (address: string, seq: number) => bucketKey(BUCKET.accountEntry, address, seq);
