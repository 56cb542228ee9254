import { z } from 'zod';
import { digits } from '#shared/api/common-schemas.ts';
import { DTYPE_BYTES, type Dtype } from '#shared/weights/dtype.ts';

/* `GET /proof/…`: all that is needed to check something against the hash of one block. PROTOCOL §14. */

/** A body is at most some megabytes; what is read from a file is not believed. */
const MAX_HEX_CHARS = 128 * 1024 * 1024;
/** Trees have less than 2⁵³ leaves. */
const MAX_PATH = 53;
const hex = z
  .string()
  .max(MAX_HEX_CHARS)
  .regex(/^(?:[0-9a-f]{2})*$/);
const hex32 = z.string().regex(/^[0-9a-f]{64}$/);

const blockShape = { header: z.string().regex(/^[0-9a-f]{528}$/), body: hex };

/** A journal entry, its path to the root of the journal in the seal, and the block with that seal. */
export const entryProofSchema = z.strictObject({
  v: z.literal(1),
  proof: z.literal('entry'),
  /** As it is encoded. */
  entry: hex,
  path: z.array(hex32).max(MAX_PATH),
  ...blockShape,
});

/** A tensor of the model, its path to the model root, and the block that sealed that root. */
export const tensorProofSchema = z.strictObject({
  v: z.literal(1),
  proof: z.literal('tensor'),
  tensor: z.strictObject({
    name: z.string().min(1).max(512),
    dtype: z.enum(Object.keys(DTYPE_BYTES) as [Dtype, ...Dtype[]]),
    shape: z.array(z.int().min(1)).max(8),
    /** SHA-256 of its bytes. */
    hash: hex32,
  }),
  /** Siblings from the leaf up, each with the side it stands on. */
  path: z.array(z.strictObject({ side: z.enum(['left', 'right']), hash: hex32 })).max(MAX_PATH),
  ...blockShape,
});

export const proofSchema = z.discriminatedUnion('proof', [entryProofSchema, tensorProofSchema]);

export type EntryProof = z.infer<typeof entryProofSchema>;
export type TensorProof = z.infer<typeof tensorProofSchema>;
export type Proof = z.infer<typeof proofSchema>;

/** `GET /proof/entry/:seq`: the B height of the seal that is to prove it, the newest unless given. */
export const entryProofQuerySchema = z.strictObject({ height: digits.optional() });
