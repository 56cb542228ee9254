import type { BlockView } from '#shared/api/schemas.ts';
import { decodeMetaBody, decodeParameterBody } from '#shared/block/body.ts';
import type { Block } from '#shared/block/verify-block.ts';
import { toHex } from '#shared/crypto/bytes.ts';

/** A header's fields by the names of the API, bytes as hex, with the block's hash. */
export function headerView({ header, hash }: Block): Omit<BlockView, 'body' | 'state'> {
  return {
    version: header.version,
    index: header.index,
    timestamp: header.timestampMs / 1000,
    prev_hash: toHex(header.prevHash),
    chain_id: header.chainId,
    points_to: toHex(header.pointsTo),
    payload_hash: toHex(header.payloadHash),
    payload_size: header.payloadBytes,
    miner_pub: toHex(header.minerPub),
    payload_sig: toHex(header.payloadSig),
    nonce: header.nonce.toString(16).padStart(16, '0'),
    body_hash: toHex(header.bodyHash),
    bits: header.bits.toString(16).padStart(8, '0'),
    hash: toHex(hash),
  };
}

/** A whole block as `GET /chain/:id/block/:index` shows it. BLOCK_ENCODING where the body is none. */
export function blockView(block: Block): BlockView {
  const isMeta = block.header.chainId === 'A';
  const decoded = isMeta ? decodeMetaBody(block.body) : decodeParameterBody(block.body);
  return {
    ...headerView(block),
    body: plain(decoded),
    state: isMeta || 'seal' in decoded ? 'sealed' : 'part',
  };
}

/** Bytes become hex and BigInt decimal text, all the way down. */
export function plain(value: unknown): unknown {
  if (value instanceof Uint8Array) return toHex(value);
  if (typeof value === 'bigint') return value.toString();
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value === 'object' && value !== null)
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, plain(item)]));
  return value;
}
