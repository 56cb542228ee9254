import { corrupt } from '#coordinator/store/io-error.ts';
import { BUCKET, bucketKey } from '#coordinator/store/keys.ts';
import { type KV, type KvOp, put } from '#coordinator/store/kv.ts';
import { decodeCborAs, encodeCbor, zUint } from '#shared/block/cbor.ts';
import { decodeEntry, type JournalEntry } from '#shared/block/journal.ts';
import { type AdjustmentRequest, adjustmentRequestSchema } from '#shared/protocol/adjustment.ts';

/** An adjustment of the journal with all that was signed. */
export interface AdjustmentRecord {
  readonly entry: JournalEntry;
  readonly request: AdjustmentRequest;
}

const recordSchema = adjustmentRequestSchema.extend({ seq: zUint });

/** What was signed for an entry of kind `adjustment`, by its `ref`. */
export async function readAdjustment(kv: KV, digest: Uint8Array): Promise<AdjustmentRecord | undefined> {
  const value = await kv.get(bucketKey(BUCKET.adjustment, digest));
  if (!value) return undefined;
  const { seq, ...request } = decodeCborAs(recordSchema, value, 'Adjustment record');
  const bytes = await kv.get(bucketKey(BUCKET.journalEntry, seq));
  if (!bytes) throw corrupt(`journal entry ${seq} is missing`);
  return { entry: decodeEntry(bytes), request };
}

/** To be written with the entry. */
export function adjustmentOp({ entry, request }: AdjustmentRecord): KvOp {
  return put(bucketKey(BUCKET.adjustment, entry.ref), encodeCbor({ ...request, seq: entry.seq }));
}
