import type { z } from 'zod';
import { fromHex } from '#shared/crypto/bytes.ts';
import { digest } from '#shared/crypto/digest.ts';
import { verifyOneOfMany } from '#shared/crypto/verify-many.ts';
import { must, PoolError } from '#shared/errors/pool-error.ts';
import { firstIssue } from '#shared/errors/schema-issue.ts';
import {
  SUBMISSION_METADATA_KEY,
  type SubmissionManifest,
  signedSubmissionSchema,
  submissionId,
} from '#shared/protocol/submission.ts';
import { type Dtype, isDtype } from '#shared/weights/dtype.ts';
import { sortByName } from '#shared/weights/model-root.ts';

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
    ...(signed.salt !== undefined && { salt: fromHex(signed.salt, 32) }),
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
    verifyOneOfMany(fromHex(signed.signature, 64), id, manifest.miner),
    'SIGNATURE',
    'the signature of the submission is not valid for its key',
  );
  for (const tensor of manifest.tensors) {
    must(
      verifyOneOfMany(tensor.signature, digest('payload', networkId, tensor.payloadHash), manifest.miner),
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
