import { z } from 'zod';
import { encodeCbor } from '#shared/block/cbor.ts';
import { fromHex, toHex } from '#shared/crypto/bytes.ts';
import { digest } from '#shared/crypto/digest.ts';
import { type KeyPair, sign, verifySignature } from '#shared/crypto/keys.ts';
import { must, PoolError } from '#shared/errors/pool-error.ts';
import { firstIssue } from '#shared/errors/schema-issue.ts';
import { type Dtype, isDtype } from '#shared/weights/dtype.ts';
import { sortByName, type TensorRef } from '#shared/weights/model-root.ts';

/** Key of the signed manifest in the `__metadata__` of a submitted safetensors file. PROTOCOL §9. */
export const SUBMISSION_METADATA_KEY = 'aiblock_submission';

const hex = (bytes: number) => z.string().regex(new RegExp(`^[0-9a-f]{${bytes * 2}}$`));

const signedSubmissionSchema = z.strictObject({
  v: z.literal(1),
  miner: hex(33),
  base: hex(32),
  meta: hex(32),
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
  /** In name order. */
  readonly tensors: readonly SubmittedTensor[];
}

/** PROTOCOL §9: the id covers everything but the signatures, so the same content always has the same id. */
export function submissionId(networkId: Uint8Array, manifest: SubmissionManifest): Uint8Array {
  const tensors = sortByName(manifest.tensors).map((t) => [t.name, t.dtype, t.shape, t.payloadHash]);
  return digest(
    'submission',
    networkId,
    encodeCbor({ v: 1, miner: manifest.miner, base: manifest.base, meta: manifest.meta, tensors }),
  );
}

export function signPayload(networkId: Uint8Array, payloadHash: Uint8Array, key: KeyPair): Uint8Array {
  return sign(digest('payload', networkId, payloadHash), key.secretKey);
}

/** Signs a submission; the text goes into the file's `__metadata__` under SUBMISSION_METADATA_KEY. */
export function signSubmission(
  networkId: Uint8Array,
  content: { base: Uint8Array; meta: Uint8Array; tensors: readonly TensorRef[] },
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

/**
 * Reads a signed manifest and checks its form and every signature. Callers who know how many tensors there can be pass
 * `maxTensors`: beyond it nothing is looked at (WEIGHTS_NAMES), as two million empty ones would fill the memory with
 * what is wrong with each, and signatures take time. They also bound the length of `text`.
 */
export function verifySubmission(
  networkId: Uint8Array,
  text: string,
  maxTensors = Number.POSITIVE_INFINITY,
): { id: Uint8Array; manifest: SubmissionManifest } {
  const signed = parse(text, maxTensors);
  const names = new Set(signed.tensors.map(({ name }) => name));
  must(names.size === signed.tensors.length, 'WEIGHTS_NAMES', 'a tensor is signed twice');
  const manifest: SubmissionManifest = {
    miner: fromHex(signed.miner, 33),
    base: fromHex(signed.base, 32),
    meta: fromHex(signed.meta, 32),
    tensors: sortByName(signed.tensors).map((t) => ({
      name: t.name,
      dtype: checkDtype(t.dtype),
      shape: t.shape,
      payloadHash: fromHex(t.hash, 32),
      signature: fromHex(t.signature, 64),
    })),
  };
  const id = submissionId(networkId, manifest);
  must(
    verifySignature(fromHex(signed.signature, 64), id, manifest.miner),
    'SIGNATURE',
    'the signature of the submission is not valid for its key',
  );
  for (const tensor of manifest.tensors) {
    must(
      verifySignature(tensor.signature, digest('payload', networkId, tensor.payloadHash), manifest.miner),
      'SIGNATURE',
      () => `the signature of tensor ${JSON.stringify(tensor.name)} is not valid for the miner's key`,
    );
  }
  return { id, manifest };
}

function parse(text: string, maxTensors: number): z.infer<typeof signedSubmissionSchema> {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (cause) {
    throw new PoolError('BAD_REQUEST', `${SUBMISSION_METADATA_KEY}: expected JSON`, {}, { cause });
  }
  const { tensors } = (json ?? {}) as { tensors?: unknown };
  must(
    !Array.isArray(tensors) || tensors.length <= maxTensors,
    'WEIGHTS_NAMES',
    () => `expected at most ${maxTensors} signed tensors, got ${(tensors as unknown[]).length}`,
  );
  const parsed = signedSubmissionSchema.safeParse(json);
  if (parsed.success) return parsed.data;
  throw new PoolError('BAD_REQUEST', `${SUBMISSION_METADATA_KEY}: ${firstIssue(parsed.error)}`);
}

function checkDtype(text: string): Dtype {
  must(isDtype(text), 'WEIGHTS_DTYPE', `expected F32, F16 or BF16, got ${JSON.stringify(text.slice(0, 20))}`);
  return text;
}
