import { sha256 } from '@noble/hashes/sha2.js';
import { readU64be, u64be } from '#shared/crypto/bytes.ts';
import { must } from '#shared/errors/pool-error.ts';

export const HEADER_BYTES = 264;
export const NONCE_OFFSET = 256;
export const HEADER_VERSION = 1;
export type ChainId = 'A' | 'B';

export interface BlockHeader {
  readonly version: number;
  /** Height in its chain, from 0. */
  readonly index: number;
  readonly timestampMs: number;
  readonly prevHash: Uint8Array;
  readonly chainId: ChainId;
  /** B: the Meta block it complies with. A: the B head it was made on (zero at genesis). */
  readonly pointsTo: Uint8Array;
  readonly payloadHash: Uint8Array;
  readonly payloadBytes: number;
  /** Compressed secp256k1 key of the miner. */
  readonly minerPub: Uint8Array;
  readonly payloadSig: Uint8Array;
  readonly bodyHash: Uint8Array;
  /** Compact target. */
  readonly bits: number;
  readonly nonce: bigint;
}

const OFFSET = {
  version: 0,
  index: 2,
  timestamp: 10,
  prevHash: 18,
  chainId: 50,
  pointsTo: 51,
  payloadHash: 83,
  payloadSize: 115,
  minerPub: 123,
  payloadSig: 156,
  bodyHash: 220,
  bits: 252,
  nonce: NONCE_OFFSET,
} as const;

/** PROTOCOL §5: 264 bytes, big-endian. */
export function encodeHeader(header: BlockHeader): Uint8Array {
  const out = new Uint8Array(HEADER_BYTES);
  const view = new DataView(out.buffer);
  view.setUint16(OFFSET.version, header.version);
  out.set(u64be(header.index), OFFSET.index);
  out.set(u64be(header.timestampMs), OFFSET.timestamp);
  out.set(header.prevHash, OFFSET.prevHash);
  out[OFFSET.chainId] = header.chainId.charCodeAt(0);
  out.set(header.pointsTo, OFFSET.pointsTo);
  out.set(header.payloadHash, OFFSET.payloadHash);
  out.set(u64be(header.payloadBytes), OFFSET.payloadSize);
  out.set(header.minerPub, OFFSET.minerPub);
  out.set(header.payloadSig, OFFSET.payloadSig);
  out.set(header.bodyHash, OFFSET.bodyHash);
  view.setUint32(OFFSET.bits, header.bits);
  out.set(u64be(header.nonce), OFFSET.nonce);
  return out;
}

/** PROTOCOL §5. Refuses other lengths, versions, chains and numbers over 2⁵³. */
export function decodeHeader(bytes: Uint8Array): BlockHeader {
  must(
    bytes.length === HEADER_BYTES,
    'BLOCK_ENCODING',
    () => `expected a header of ${HEADER_BYTES} bytes, got ${bytes.length}`,
  );
  const view = new DataView(bytes.buffer, bytes.byteOffset, HEADER_BYTES);
  const version = view.getUint16(OFFSET.version);
  must(
    version === HEADER_VERSION,
    'BLOCK_ENCODING',
    () => `expected header version ${HEADER_VERSION}, got ${version}`,
  );
  const chainId = String.fromCharCode(bytes[OFFSET.chainId] as number);
  must(
    chainId === 'A' || chainId === 'B',
    'BLOCK_ENCODING',
    () => `expected chain A or B, got byte ${bytes[OFFSET.chainId]}`,
  );
  return {
    version,
    index: safe(bytes, OFFSET.index, 'index'),
    timestampMs: safe(bytes, OFFSET.timestamp, 'timestamp'),
    prevHash: bytes.slice(OFFSET.prevHash, OFFSET.chainId),
    chainId,
    pointsTo: bytes.slice(OFFSET.pointsTo, OFFSET.payloadHash),
    payloadHash: bytes.slice(OFFSET.payloadHash, OFFSET.payloadSize),
    payloadBytes: safe(bytes, OFFSET.payloadSize, 'payload_size'),
    minerPub: bytes.slice(OFFSET.minerPub, OFFSET.payloadSig),
    payloadSig: bytes.slice(OFFSET.payloadSig, OFFSET.bodyHash),
    bodyHash: bytes.slice(OFFSET.bodyHash, OFFSET.bits),
    bits: view.getUint32(OFFSET.bits),
    nonce: readU64be(bytes, OFFSET.nonce),
  };
}

function safe(bytes: Uint8Array, offset: number, field: string): number {
  const value = Number(readU64be(bytes, offset));
  must(
    Number.isSafeInteger(value),
    'BLOCK_ENCODING',
    () => `${field}: expected at most 2^53-1, got ${value}`,
  );
  return value;
}

/** Block hash = SHA-256(header). PROTOCOL §5. */
export function blockHash(headerBytes: Uint8Array): Uint8Array {
  return sha256(headerBytes);
}

export function withNonce(headerBytes: Uint8Array, nonce: bigint): Uint8Array {
  const out = headerBytes.slice();
  out.set(u64be(nonce), NONCE_OFFSET);
  return out;
}
