import { sha256 } from '@noble/hashes/sha2.js';
import { z } from 'zod';
import { type CborValue, decodeCborAs, encodeCbor, zBytes, zUint } from '#shared/block/cbor.ts';
import { metaDigest } from '#shared/block/meta-chain.ts';
import { equalBytes } from '#shared/crypto/bytes.ts';
import { type KeyPair, sign, verifySignature } from '#shared/crypto/keys.ts';

const zAnyBytes = z.custom<Uint8Array>((value) => value instanceof Uint8Array);

const proposalSchema = z.strictObject({
  v: z.literal(1),
  network: zBytes(32),
  /** Height in chain A that it is meant for. */
  index: zUint.min(1),
  /** Hash of the Meta block below. */
  prev: zBytes(32),
  /** The manifest as it will stand on the chain. */
  payload: zAnyBytes,
  /** The shards under a new root of the held-out part: the pool keeps them until they are revealed. */
  held_out: z.array(zAnyBytes).optional(),
  signatures: z.array(z.strictObject({ key: zBytes(33), signature: zBytes(64) })),
});

/** A Meta block to be, as it goes from governor to governor and then to the pool. PROTOCOL §7. */
export type MetaProposal = z.infer<typeof proposalSchema>;

export function encodeProposal(proposal: MetaProposal): Uint8Array {
  return encodeCbor(proposal as unknown as CborValue);
}

/** BLOCK_ENCODING where the bytes are none. Whether it may stand is not checked here. */
export function decodeProposal(bytes: Uint8Array): MetaProposal {
  return decodeCborAs(proposalSchema, bytes, 'Meta proposal');
}

/** What its governors sign. */
export function proposalDigest({ network, index, prev, payload }: MetaProposal): Uint8Array {
  return metaDigest(network, { index, prevHash: prev, payloadHash: sha256(payload) });
}

/** The proposal with a signature more; the same key's earlier one is replaced. */
export function signProposal(proposal: MetaProposal, { publicKey, secretKey }: KeyPair): MetaProposal {
  const signature = sign(proposalDigest(proposal), secretKey);
  const others = proposal.signatures.filter(({ key }) => !equalBytes(key, publicKey));
  return { ...proposal, signatures: [...others, { key: publicKey, signature }] };
}

/** Which of these governors have signed it. */
export function signersOf(proposal: MetaProposal, governors: readonly Uint8Array[]): Uint8Array[] {
  const signed = proposalDigest(proposal);
  return governors.filter((governor) =>
    proposal.signatures.some(
      ({ key, signature }) => equalBytes(key, governor) && verifySignature(signature, signed, key),
    ),
  );
}
