import { z } from 'zod';
import { BUCKET, bucketKey } from '#coordinator/store/keys.ts';
import { type KV, type KvOp, put } from '#coordinator/store/kv.ts';
import { type CborValue, decodeCborAs, encodeCbor, zBytes, zUint } from '#shared/block/cbor.ts';

const loss = zUint.nullable();

const resultSchema = z.strictObject({
  v: z.literal(1),
  submission: zBytes(32),
  at: zUint,
  /** Whether it held on the held-out windows of its epoch. */
  held: z.boolean(),
  /** Results of the workers that agree, over all windows of the epoch. */
  attestations: z.array(
    z.strictObject({
      worker: zBytes(33),
      backend: z.string(),
      base: z.array(loss),
      candidate: z.array(loss),
      signature: zBytes(64),
    }),
  ),
  /** Tokens through the models for it, of all workers. */
  tokens: zUint,
});

/** The evidence of one re-check: written once, in one batch with the entry that follows from it. */
export type HeldOutResult = Readonly<z.infer<typeof resultSchema>>;

export function heldOutResultOp(result: HeldOutResult): KvOp {
  return put(key(result.submission), encodeCbor(result as unknown as CborValue));
}

export async function heldOutResult(kv: KV, submission: Uint8Array): Promise<HeldOutResult | undefined> {
  const value = await kv.get(key(submission));
  return value && decodeCborAs(resultSchema as z.ZodType<HeldOutResult>, value, 'Held-out result');
}

const key = (submission: Uint8Array) => bucketKey(BUCKET.heldOutResult, submission);
