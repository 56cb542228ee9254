import { sha256 } from '@noble/hashes/sha2.js';
import { z } from 'zod';
import { type CborValue, decodeCborAs, encodeCbor, zBytes, zUint } from '#shared/block/cbor.ts';
import { isLoss } from '#shared/pol/gate.ts';
import { DTYPE_BYTES, type Dtype } from '#shared/weights/dtype.ts';

const zLosses = z.array(z.number().refine(isLoss, { message: 'expected whole micro-nats' }));

export const attestationSchema = z.strictObject({
  worker: zBytes(33),
  backend: z.string().max(40),
  base: zLosses,
  candidate: zLosses,
  signature: zBytes(64),
});

const certificateSchema = z.strictObject({
  /** B head at the time of evaluation: with the salt it fixes the windows. */
  head: zBytes(32),
  windows: z.array(zUint),
  attestations: z.array(attestationSchema).min(1),
});

const zPlace = z.strictObject({ seq: zUint, head: zBytes(32) });

const sealSchema = z.strictObject({
  /** Model root the submission was judged against: that of the block before its first part. */
  base: zBytes(32),
  /** Salt of the head it was judged on, revealed, and the hash of the next head's. */
  salt: zBytes(32),
  next_salt_hash: zBytes(32),
  /** Null at genesis only. */
  certificate: certificateSchema.nullable(),
  /** The journal when the template was made. */
  journal: z.strictObject({ seq: zUint, head: zBytes(32), root: zBytes(32) }),
  /** The logs of work when the reward was planned: it is split over units that stand in them. */
  work: z.strictObject({ evaluation: zPlace, grinding: zPlace }),
  /** Hash of the reward entries that the commit appends. */
  rewards: zBytes(32),
});

const parameterBodySchema = z.strictObject({
  v: z.literal(1),
  /** Zero at genesis. */
  submission: zBytes(32),
  part: zUint,
  parts: zUint.min(1),
  name: z.string().min(1),
  dtype: z.enum(Object.keys(DTYPE_BYTES) as [Dtype, ...Dtype[]]),
  shape: z.array(zUint.min(1)),
  /** Model root after this block. */
  root: zBytes(32),
  /** In the last part only. */
  seal: sealSchema.optional(),
});

const metaBodySchema = z.strictObject({
  v: z.literal(1),
  signatures: z.array(z.strictObject({ key: zBytes(33), signature: zBytes(64) })),
});

/** PROTOCOL §6: bodies are deterministic CBOR. */
export type ParameterBody = z.infer<typeof parameterBodySchema>;
export type Seal = z.infer<typeof sealSchema>;
export type Certificate = z.infer<typeof certificateSchema>;
export type Attestation = z.infer<typeof attestationSchema>;
export type MetaBody = z.infer<typeof metaBodySchema>;

export function encodeBody(body: ParameterBody | MetaBody): Uint8Array {
  return encodeCbor(body as unknown as CborValue);
}

export function decodeParameterBody(bytes: Uint8Array): ParameterBody {
  return decodeCborAs(parameterBodySchema as z.ZodType<ParameterBody>, bytes, 'Parameter body');
}

export function decodeMetaBody(bytes: Uint8Array): MetaBody {
  return decodeCborAs(metaBodySchema as z.ZodType<MetaBody>, bytes, 'Meta body');
}

export function bodyHash(bytes: Uint8Array): Uint8Array {
  return sha256(bytes);
}
