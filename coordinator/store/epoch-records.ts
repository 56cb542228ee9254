import { z } from 'zod';
import { BUCKET, bucketKey, bucketRange } from '#coordinator/store/keys.ts';
import { type KV, type KvOp, put } from '#coordinator/store/kv.ts';
import { type CborValue, decodeCborAs, encodeCbor, zBytes, zUint } from '#shared/block/cbor.ts';
import { readU64be, u64be } from '#shared/crypto/bytes.ts';

const recordSchema = z.strictObject({
  v: z.literal(1),
  /** As in shared/pol/epochs.ts. */
  number: zUint,
  root: zBytes(32),
  seals: zUint,
  firstShard: zUint,
  shards: zUint,
  /** Its sealed submissions in the order of the chain, with the B heights of their blocks. */
  members: z.array(
    z.strictObject({
      submission: zBytes(32),
      first: zUint,
      last: zUint,
      /** Hash of the Meta block that ruled it, and δ that it was judged by. */
      meta: zBytes(32),
      deltaMicroNats: zUint,
    }),
  ),
  /** It takes no more seals. */
  over: z.boolean(),
  /** Its shards, once everybody may see them. */
  revealed: z
    .strictObject({
      at: zUint,
      shards: z.array(z.strictObject({ hash: zBytes(32), bytes: zUint, path: z.array(zBytes(32)) })),
    })
    .optional(),
});
export type EpochRecord = Readonly<z.infer<typeof recordSchema>>;
export type EpochMember = EpochRecord['members'][number];

export function epochOps(records: readonly EpochRecord[], height: number): KvOp[] {
  return [
    ...records.map((record) =>
      put(bucketKey(BUCKET.epoch, record.number), encodeCbor(record as unknown as CborValue)),
    ),
    put(bucketKey(BUCKET.epochHeight), u64be(height)),
  ];
}

export async function readEpochs(kv: KV): Promise<EpochRecord[]> {
  const records: EpochRecord[] = [];
  for await (const [, value] of kv.entries(bucketRange(BUCKET.epoch)))
    records.push(decodeCborAs(recordSchema as z.ZodType<EpochRecord>, value, 'Epoch'));
  return records;
}

/** B height up to which seals are counted; −1 where none is. */
export async function countedHeight(kv: KV): Promise<number> {
  const value = await kv.get(bucketKey(BUCKET.epochHeight));
  return value ? Number(readU64be(value)) : -1;
}
