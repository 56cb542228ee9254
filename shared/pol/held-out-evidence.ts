import type { Manifest } from '#shared/block/manifest.ts';
import { verifySignature } from '#shared/crypto/keys.ts';
import { must } from '#shared/errors/pool-error.ts';
import { checkQuorum } from '#shared/pol/certificate.ts';
import { holdsOut } from '#shared/pol/held-out.ts';
import type { Loss } from '#shared/pol/sequential.ts';
import { attestationDigest } from '#shared/protocol/attestation.ts';

/** What a sealed submission is held against at the end of its epoch. */
export interface HeldOutTarget {
  readonly submission: Uint8Array;
  /** Root of the held-out part. */
  readonly root: Uint8Array;
  readonly baseRoot: Uint8Array;
  readonly candidateRoot: Uint8Array;
  /** All windows of the epoch's shards, ascending. */
  readonly windows: readonly number[];
  /** δ that it was judged by. */
  readonly deltaMicroNats: number;
}

/** What one worker found on all of the windows; null where a loss is not finite. */
export interface HeldOutAttestation {
  readonly worker: Uint8Array;
  readonly backend: string;
  readonly base: readonly Loss[];
  readonly candidate: readonly Loss[];
  readonly signature: Uint8Array;
}

/**
 * PROTOCOL §8: whether a submission holds out, by the results of a quorum: enough different workers signed losses of
 * exactly these windows and models, they agree, and the rule holds for each of them. BLOCK_CERTIFICATE where they do
 * not prove anything.
 */
export function verifyHeldOut(
  networkId: Uint8Array,
  target: HeldOutTarget,
  { attestations, quorum }: { attestations: readonly HeldOutAttestation[]; quorum: Manifest['quorum'] },
): boolean {
  const { windows } = target;
  // The head has no part in it: the root stands in its place.
  const signed = { ...target, head: target.root, heldOut: target.root };
  for (const { worker, base, candidate, signature } of attestations) {
    must(
      base.length === windows.length && candidate.length === windows.length,
      'BLOCK_CERTIFICATE',
      () => `expected the losses of ${windows.length} held-out windows, got ${base.length}`,
    );
    must(
      verifySignature(signature, attestationDigest(networkId, signed, { base, candidate }), worker),
      'BLOCK_CERTIFICATE',
      'a held-out result is not signed by its worker',
    );
  }
  checkQuorum(attestations, quorum);
  return attestations.every(({ base, candidate }) => holdsOut(base, candidate, target.deltaMicroNats));
}
