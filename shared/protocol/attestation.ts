import { sha256 } from '@noble/hashes/sha2.js';
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
  /** Root of the held-out part, where the windows are of that and not of the public set. */
  readonly heldOut?: Uint8Array | undefined;
}

/** Losses as they were found: null where one is not finite. */
export interface FoundLosses {
  readonly base: readonly (number | null)[];
  readonly candidate: readonly (number | null)[];
}

/**
 * PROTOCOL §8: what a worker signs about the losses it found. On held-out windows the head says nothing any more: the
 * root of their shards stands in its place, under a kind of its own.
 */
export function attestationDigest(
  networkId: Uint8Array,
  target: EvaluationTarget,
  losses: FoundLosses,
): Uint8Array {
  const { heldOut } = target;
  return digest(
    heldOut ? 'held-out' : 'attestation',
    networkId,
    target.submission,
    heldOut ?? target.head,
    target.baseRoot,
    target.candidateRoot,
    resultsHash(target.windows, losses),
  );
}

/**
 * PROTOCOL §8: what a worker sends before anybody shows losses. The nonce (32 bytes) keeps others from trying out
 * losses until the hash fits, the key keeps them from committing to the same hash.
 */
export function commitmentDigest(
  networkId: Uint8Array,
  result: FoundLosses & { readonly windows: readonly number[]; readonly nonce: Uint8Array },
  worker: Uint8Array,
): Uint8Array {
  return digest('commitment', networkId, resultsHash(result.windows, result), result.nonce, worker);
}

function resultsHash(windows: readonly number[], { base, candidate }: FoundLosses): Uint8Array {
  return sha256(encodeCbor([[...windows], [...base], [...candidate]]));
}
