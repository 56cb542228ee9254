import { sha256 } from '@noble/hashes/sha2.js';
import { decodeMetaBody } from '#shared/block/body.ts';
import { decodeManifest, type Manifest } from '#shared/block/manifest.ts';
import {
  BEFORE_GENESIS,
  type Block,
  type ChainPosition,
  GENESIS_BITS,
  positionOf,
  verifyBlock,
} from '#shared/block/verify-block.ts';
import { equalBytes, isZero, u64be, ZERO_32 } from '#shared/crypto/bytes.ts';
import { digest } from '#shared/crypto/digest.ts';
import { verifySignature } from '#shared/crypto/keys.ts';
import { must } from '#shared/errors/pool-error.ts';

export interface MetaBlock {
  readonly hash: Uint8Array;
  readonly index: number;
  readonly payloadHash: Uint8Array;
  readonly manifest: Manifest;
}

/** PROTOCOL §7: what governors sign. Zero stands for the network at genesis, which has no id yet. */
export function metaDigest(networkId: Uint8Array, index: number, payloadHash: Uint8Array): Uint8Array {
  return digest('meta', networkId, u64be(index), payloadHash);
}

/**
 * Checks Meta block after Meta block. The network id is the hash of block 0; a later block is valid with the
 * signatures that the block before it asks for.
 */
export class MetaChain {
  #position: ChainPosition = BEFORE_GENESIS;
  #current: MetaBlock | undefined;
  #networkId: Uint8Array = ZERO_32;

  get networkId(): Uint8Array {
    return this.#networkId;
  }

  /** The newest Meta block. */
  get current(): MetaBlock {
    must(this.#current, 'BLOCK_LINK', 'the Meta chain has no block yet');
    return this.#current;
  }

  apply(block: Block, payload: Uint8Array): MetaBlock {
    const { header } = block;
    must(header.chainId === 'A', 'BLOCK_LINK', 'expected a block of chain A');
    verifyBlock(block, this.#position, this.#networkId);
    must(
      header.bits === GENESIS_BITS,
      'BLOCK_HASH',
      () => `A${header.index}: expected bits ${GENESIS_BITS}, got ${header.bits}`,
    );
    must(
      equalBytes(sha256(payload), header.payloadHash) && payload.length === header.payloadBytes,
      'BLOCK_PAYLOAD',
      `A${header.index}: the payload is not the one the header names`,
    );
    const manifest = decodeManifest(payload);
    this.#checkGovernors(block, this.#current?.manifest ?? manifest);
    const isFirst = header.index === 0;
    must(!isFirst || isZero(header.pointsTo), 'BLOCK_LINK', 'A0: expected points_to to be zero');
    if (isFirst) this.#networkId = block.hash;
    this.#position = positionOf(block);
    this.#current = { hash: block.hash, index: header.index, payloadHash: header.payloadHash, manifest };
    return this.#current;
  }

  #checkGovernors(block: Block, rule: Manifest): void {
    const { index, payloadHash } = block.header;
    const signed = metaDigest(this.#networkId, index, payloadHash);
    const valid = decodeMetaBody(block.body).signatures.filter(({ signature, key }) =>
      verifySignature(signature, signed, key),
    );
    const governors = rule.governors.keys.filter((key) => valid.some((v) => equalBytes(v.key, key)));
    must(
      governors.length >= rule.governors.threshold,
      'SIGNATURE',
      `A${index}: expected ${rule.governors.threshold} governors' signatures, got ${governors.length}`,
    );
  }
}
