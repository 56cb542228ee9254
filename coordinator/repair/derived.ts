import { createHash } from 'node:crypto';
import { type Bucket, bucketRange } from '#coordinator/store/keys.ts';
import { delRange, type KV, type KvOp } from '#coordinator/store/kv.ts';
import { u64be } from '#shared/crypto/bytes.ts';

/** Buckets that follow from others, and what belongs into them. */
export interface Derived {
  readonly what: string;
  readonly buckets: readonly Bucket[];
  readonly ops: () => Iterable<KvOp> | AsyncIterable<KvOp>;
}

export interface ReindexLine {
  readonly what: string;
  /** Entries that it has now. */
  readonly count: number;
  /** Whether they are others than before. */
  readonly changed: boolean;
}

const BATCH = 1_000;

/** Makes buckets anew. Small ones change in one batch; of larger ones a crash leaves a part. */
export async function rebuild(kv: KV, { what, buckets, ops }: Derived): Promise<ReindexLine> {
  const before = await digestOf(kv, buckets);
  let batch: KvOp[] = buckets.map((bucket) => delRange(bucketRange(bucket)));
  for await (const op of ops()) {
    batch.push(op);
    if (batch.length < BATCH) continue;
    await kv.batch(batch, { durable: false });
    batch = [];
  }
  await kv.batch(batch, { durable: false });
  const after = await digestOf(kv, buckets);
  return { what, count: after.count, changed: before.digest !== after.digest };
}

async function digestOf(kv: KV, buckets: readonly Bucket[]): Promise<{ digest: string; count: number }> {
  const sha = createHash('sha256');
  let count = 0;
  for (const bucket of buckets)
    for await (const [key, value] of kv.entries(bucketRange(bucket))) {
      sha.update(u64be(key.length)).update(key).update(u64be(value.length)).update(value);
      count += 1;
    }
  return { digest: sha.digest('hex'), count };
}
