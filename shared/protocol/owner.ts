import { z } from 'zod';
import { fromHex, toHex } from '#shared/crypto/bytes.ts';
import { digest } from '#shared/crypto/digest.ts';
import { addressOf, type KeyPair, sign, verifySignature } from '#shared/crypto/keys.ts';
import { must } from '#shared/errors/pool-error.ts';

const hex = (bytes: number) => z.string().regex(new RegExp(`^[0-9a-f]{${bytes * 2}}$`));

/** Whom a worker works for, in the owner's own hand. PROTOCOL §11. */
export const ownerProofSchema = z.strictObject({
  publicKey: hex(33),
  /** Over `ownerDigest` by that key. */
  signature: hex(64),
});
export type OwnerProof = z.infer<typeof ownerProofSchema>;

/** What an owner signs: on this network, this worker key works for me. */
export function ownerDigest(networkId: Uint8Array, worker: Uint8Array): Uint8Array {
  return digest('owner', networkId, worker);
}

export function proveOwner(networkId: Uint8Array, worker: Uint8Array, owner: KeyPair): OwnerProof {
  return {
    publicKey: toHex(owner.publicKey),
    signature: toHex(sign(ownerDigest(networkId, worker), owner.secretKey)),
  };
}

/** The owner's address; SIGNATURE where the proof is none for this worker on this network. */
export function provenOwner(networkId: Uint8Array, worker: Uint8Array, proof: OwnerProof): string {
  const publicKey = fromHex(proof.publicKey, 33);
  must(
    verifySignature(fromHex(proof.signature, 64), ownerDigest(networkId, worker), publicKey),
    'SIGNATURE',
    'the owner did not sign that this worker works for it on this network',
  );
  return addressOf(publicKey);
}
