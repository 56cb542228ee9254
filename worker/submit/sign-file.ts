import type { ModelView } from '#shared/api/schemas.ts';
import { fromHex, toHex } from '#shared/crypto/bytes.ts';
import type { KeyPair } from '#shared/crypto/keys.ts';
import { SUBMISSION_METADATA_KEY, signSubmission } from '#shared/protocol/submission.ts';
import type { Dtype } from '#shared/weights/dtype.ts';
import { safetensorsHeader } from '#shared/weights/safetensors.ts';

/** A tensor by its hash, hex. */
export interface HashedTensor {
  readonly name: string;
  readonly dtype: Dtype;
  readonly shape: readonly number[];
  readonly hash: string;
}

export interface SubmissionBase {
  /** Model root that the weights were trained from, hex. */
  readonly root: string;
  /** Hash of the Meta block, hex. */
  readonly meta: string;
  readonly network: string;
  /** Opens a claim that was made before, hex. */
  readonly salt?: string | undefined;
}

export interface ClaimedBase extends SubmissionBase {
  readonly salt: string;
}

export const baseOf = ({ root, meta, network }: ModelView): SubmissionBase => ({
  root,
  meta: meta.hash,
  network,
});

export interface SignedHeader<T extends HashedTensor> {
  /** Submission id, hex. */
  readonly id: string;
  /** The start of the file. */
  readonly header: Uint8Array;
  /** The tensors in the order in which their bytes follow. */
  readonly order: readonly T[];
  /** Header and bytes. */
  readonly totalBytes: number;
}

/** Signs tensors as a submission. PROTOCOL §9. */
export function signFile<T extends HashedTensor>(
  tensors: readonly T[],
  base: SubmissionBase,
  key: KeyPair,
): SignedHeader<T> {
  const content = {
    base: fromHex(base.root, 32),
    meta: fromHex(base.meta, 32),
    salt: base.salt === undefined ? undefined : fromHex(base.salt, 32),
    tensors: tensors.map((tensor) => ({ ...tensor, payloadHash: fromHex(tensor.hash, 32) })),
  };
  const { id, text } = signSubmission(fromHex(base.network, 32), content, key);
  return {
    id: toHex(id),
    ...safetensorsHeader(tensors, { format: 'pt', [SUBMISSION_METADATA_KEY]: text }),
  };
}
