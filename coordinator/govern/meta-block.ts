import { sha256 } from '@noble/hashes/sha2.js';
import { bodyHash, encodeBody } from '#shared/block/body.ts';
import { blockHash, encodeHeader, HEADER_VERSION, withNonce } from '#shared/block/header.ts';
import type { MetaProposal } from '#shared/block/meta-proposal.ts';
import { type Block, blockFromBytes, type ChainPosition, GENESIS_BITS } from '#shared/block/verify-block.ts';
import type { KeyPair } from '#shared/crypto/keys.ts';
import { meetsTarget, targetFromBits } from '#shared/pow/target.ts';
import { signPayload } from '#shared/protocol/submission.ts';

export interface MetaPlace {
  /** The Meta block below. */
  readonly previous: ChainPosition;
  /** The B head that it is made on. */
  readonly head: Uint8Array;
  readonly nowMs: number;
}

/** The block of a proposal. Whether it is valid is for MetaChain to say. */
export function metaBlockOf(proposal: MetaProposal, pool: KeyPair, place: MetaPlace): Block {
  const { previous, head, nowMs } = place;
  const payloadHash = sha256(proposal.payload);
  const body = encodeBody({ v: 1, signatures: proposal.signatures });
  const template = encodeHeader({
    version: HEADER_VERSION,
    index: previous.index + 1,
    // A clock that was set back must not stop the chain.
    timestampMs: Math.max(nowMs, previous.timestampMs),
    prevHash: previous.hash,
    chainId: 'A',
    pointsTo: head,
    payloadHash,
    payloadBytes: proposal.payload.length,
    minerPub: pool.publicKey,
    payloadSig: signPayload(proposal.network, payloadHash, pool),
    bodyHash: bodyHash(body),
    bits: GENESIS_BITS,
    nonce: 0n,
  });
  const target = targetFromBits(GENESIS_BITS);
  for (let nonce = 0n; ; nonce++) {
    const bytes = withNonce(template, nonce);
    if (meetsTarget(blockHash(bytes), target)) return blockFromBytes(bytes, body);
  }
}
