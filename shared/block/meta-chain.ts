import { sha256 } from '@noble/hashes/sha2.js';
import { decodeMetaBody } from '#shared/block/body.ts';
import { decodeManifest, type Manifest } from '#shared/block/manifest.ts';
import { checkMetaChange } from '#shared/block/meta-change.ts';
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

/** Where a Meta block goes, and what it says. */
export interface MetaChange {
  readonly index: number;
  /** Hash of the Meta block before it, which makes the signatures void once another one stands there. */
  readonly prevHash: Uint8Array;
  readonly payloadHash: Uint8Array;
}

/** PROTOCOL §7: what governors sign. Zero stands for the network at genesis, which has no id yet. */
export function metaDigest(networkId: Uint8Array, change: MetaChange): Uint8Array {
  const { index, prevHash, payloadHash } = change;
  return digest('meta', networkId, u64be(index), prevHash, payloadHash);
}

/**
 * Checks Meta block after Meta block. The network id is the hash of block 0; a later block is valid with the
 * signatures that the block before it asks for.
 */
export class MetaChain {
  #position: ChainPosition = BEFORE_GENESIS;
  #current: MetaBlock | undefined;
  #networkId: Uint8Array = ZERO_32;

  /** From the first block on, or from where another replay stands. */
  constructor(start?: { networkId: Uint8Array; current: MetaBlock; position: ChainPosition }) {
    if (!start) return;
    this.#networkId = start.networkId;
    this.#current = start.current;
    this.#position = start.position;
  }

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
    must(
      isFirst === isZero(header.pointsTo),
      'BLOCK_LINK',
      () => `A${header.index}: expected points_to to be ${isFirst ? 'zero' : 'the hash of a B head'}`,
    );
    if (this.#current) checkMetaChange(this.#current.manifest, manifest);
    if (isFirst) this.#networkId = block.hash;
    this.#position = positionOf(block);
    this.#current = { hash: block.hash, index: header.index, payloadHash: header.payloadHash, manifest };
    return this.#current;
  }

  #checkGovernors(block: Block, rule: Manifest): void {
    const { index } = block.header;
    const signed = metaDigest(this.#networkId, block.header);
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
