import { sha256 } from '@noble/hashes/sha2.js';
import type { Attestation } from '#shared/block/body.ts';
import { encodeCbor } from '#shared/block/cbor.ts';
import { digest } from '#shared/crypto/digest.ts';

/** What one evaluation is about: which weights, judged on which windows. */
export interface EvaluationTarget {
  readonly submission: Uint8Array;
  /** B head when it was handed out. */
  readonly head: Uint8Array;
  readonly baseRoot: Uint8Array;
  readonly candidateRoot: Uint8Array;
  readonly windows: readonly number[];
}

/** PROTOCOL §8: what a worker signs about the losses it found. */
export function attestationDigest(
  networkId: Uint8Array,
  target: EvaluationTarget,
  losses: Pick<Attestation, 'base' | 'candidate'>,
): Uint8Array {
  const results = sha256(encodeCbor([target.windows, losses.base, losses.candidate]));
  return digest(
    'attestation',
    networkId,
    target.submission,
    target.head,
    target.baseRoot,
    target.candidateRoot,
    results,
  );
}
