import { z } from 'zod';
import { encodeCbor } from '#shared/block/cbor.ts';
import { toHex } from '#shared/crypto/bytes.ts';
import { digest } from '#shared/crypto/digest.ts';
import { type KeyPair, sign } from '#shared/crypto/keys.ts';
import { sortByName, type TensorRef } from '#shared/weights/model-root.ts';

/** Key of the signed manifest in the `__metadata__` of a submitted safetensors file. PROTOCOL §9. */
export const SUBMISSION_METADATA_KEY = 'aiblock_submission';

const hex = (bytes: number) => z.string().regex(new RegExp(`^[0-9a-f]{${bytes * 2}}$`));

/** The JSON of a signed manifest, before anything but its form is checked. */
export const signedSubmissionSchema = z.strictObject({
  v: z.literal(1),
  miner: hex(33),
  base: hex(32),
  meta: hex(32),
  salt: hex(32).optional(),
  tensors: z.array(
    z.strictObject({
      name: z.string().min(1),
      dtype: z.string(),
      shape: z.array(z.number().int().positive()),
      hash: hex(32),
      signature: hex(64),
    }),
  ),
  signature: hex(64),
});

export interface SubmittedTensor extends TensorRef {
  /** Over digest('payload', network, payload hash) by the miner: goes into the block header. */
  readonly signature: Uint8Array;
}

/** What a miner signs: its key, what it trained from, and every tensor. */
export interface SubmissionManifest {
  readonly miner: Uint8Array;
  /** Model root it was trained from. */
  readonly base: Uint8Array;
  /** Hash of the Meta block it complies with. */
  readonly meta: Uint8Array;
  /** Opens a claim that was made before: `claimOf`. */
  readonly salt?: Uint8Array;
  /** In name order. */
  readonly tensors: readonly SubmittedTensor[];
}

/** PROTOCOL §9: the id covers everything but the signatures and the salt, so the same content always has the same id. */
export function submissionId(
  networkId: Uint8Array,
  manifest: Pick<SubmissionManifest, 'miner' | 'base' | 'meta' | 'tensors'>,
): Uint8Array {
  const tensors = sortByName(manifest.tensors).map((t) => [t.name, t.dtype, t.shape, t.payloadHash]);
  return digest(
    'submission',
    networkId,
    encodeCbor({ v: 1, miner: manifest.miner, base: manifest.base, meta: manifest.meta, tensors }),
  );
}

/** PROTOCOL §9: what a miner shows before anybody sees its submission. Who does not know the salt learns nothing by it. */
export function claimOf(networkId: Uint8Array, id: Uint8Array, salt: Uint8Array): Uint8Array {
  return digest('claim', networkId, id, salt);
}

export function signPayload(networkId: Uint8Array, payloadHash: Uint8Array, key: KeyPair): Uint8Array {
  return sign(digest('payload', networkId, payloadHash), key.secretKey);
}

/** Signs a submission; the text goes into the file's `__metadata__` under SUBMISSION_METADATA_KEY. */
export function signSubmission(
  networkId: Uint8Array,
  content: {
    base: Uint8Array;
    meta: Uint8Array;
    tensors: readonly TensorRef[];
    salt?: Uint8Array | undefined;
  },
  key: KeyPair,
): { id: Uint8Array; text: string } {
  const tensors = sortByName(content.tensors).map((t) => ({
    ...t,
    signature: signPayload(networkId, t.payloadHash, key),
  }));
  const id = submissionId(networkId, { ...content, miner: key.publicKey, tensors });
  const signed: z.infer<typeof signedSubmissionSchema> = {
    v: 1,
    miner: toHex(key.publicKey),
    base: toHex(content.base),
    meta: toHex(content.meta),
    ...(content.salt && { salt: toHex(content.salt) }),
    tensors: tensors.map((t) => ({
      name: t.name,
      dtype: t.dtype,
      shape: [...t.shape],
      hash: toHex(t.payloadHash),
      signature: toHex(t.signature),
    })),
    signature: toHex(sign(id, key.secretKey)),
  };
  return { id, text: JSON.stringify(signed) };
}
