import { type BlockHeader, blockHash, decodeHeader, encodeHeader } from '#shared/block/header.ts';
import { equalBytes, toHex, ZERO_32 } from '#shared/crypto/bytes.ts';
import { digest } from '#shared/crypto/digest.ts';
import { verifySignature } from '#shared/crypto/keys.ts';
import { must } from '#shared/errors/pool-error.ts';
import { meetsTarget, targetFromBits } from '#shared/pow/target.ts';
import { bodyHash } from './body.ts';

/** A block as it is stored: 264 bytes of header and the body, with what follows from them. */
export interface Block {
  readonly header: BlockHeader;
  readonly headerBytes: Uint8Array;
  readonly hash: Uint8Array;
  readonly body: Uint8Array;
}

export function blockFromBytes(headerBytes: Uint8Array, body: Uint8Array): Block {
  return { header: decodeHeader(headerBytes), headerBytes, hash: blockHash(headerBytes), body };
}

export function blockFromHeader(header: BlockHeader, body: Uint8Array): Block {
  return blockFromBytes(encodeHeader(header), body);
}

export interface ChainPosition {
  readonly index: number;
  readonly hash: Uint8Array;
  readonly timestampMs: number;
}

/** Genesis and Meta blocks stand on signatures, not on work: half of all hashes meet this target. PROTOCOL §5. */
export const GENESIS_BITS = 0x207fffff;

/** Where the first block of a chain goes: below it there is nothing. */
export const BEFORE_GENESIS: ChainPosition = { index: -1, hash: ZERO_32, timestampMs: 0 };

export function positionOf(block: Block): ChainPosition {
  return { index: block.header.index, hash: block.hash, timestampMs: block.header.timestampMs };
}

/**
 * PROTOCOL §5: what holds for a block of either chain, in order of cost: its place, its body's hash, its work, and
 * its miner's signature over the payload. The payload itself is checked by whoever holds its bytes.
 */
export function verifyBlock(block: Block, previous: ChainPosition, networkId: Uint8Array): void {
  const { header } = block;
  const at = `${header.chainId}${header.index}`;
  must(
    header.index === previous.index + 1 && equalBytes(header.prevHash, previous.hash),
    'BLOCK_LINK',
    () =>
      `${at}: expected block ${previous.index + 1} on ${toHex(previous.hash)}, got ${header.index} on ${toHex(header.prevHash)}`,
  );
  must(
    header.timestampMs >= previous.timestampMs,
    'BLOCK_LINK',
    () => `${at}: its time ${header.timestampMs} lies before ${previous.timestampMs}`,
  );
  must(
    equalBytes(bodyHash(block.body), header.bodyHash),
    'BLOCK_BODY',
    () => `${at}: the body has another hash`,
  );
  must(
    meetsTarget(block.hash, targetFromBits(header.bits)),
    'BLOCK_HASH',
    () => `${at}: ${toHex(block.hash)} does not meet the target of bits ${header.bits.toString(16)}`,
  );
  must(
    verifySignature(header.payloadSig, digest('payload', networkId, header.payloadHash), header.minerPub),
    'SIGNATURE',
    () => `${at}: the payload signature is not valid for the miner's key`,
  );
}
