import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  type BlockHeader,
  blockHash,
  decodeHeader,
  encodeHeader,
  HEADER_BYTES,
  NONCE_OFFSET,
  withNonce,
} from '#shared/block/header.ts';
import { flipBit, readVectors } from '#test/helpers/vectors.ts';

interface Fields {
  version: number;
  index: number;
  timestamp: number;
  prev_hash: Uint8Array;
  chain_id: 'A' | 'B';
  points_to: Uint8Array;
  payload_hash: Uint8Array;
  payload_size: number;
  miner_pub: Uint8Array;
  payload_sig: Uint8Array;
  body_hash: Uint8Array;
  bits: number;
  nonce: number | bigint;
}
const { headers } = readVectors<{
  headers: { fields: Fields; bytes: Uint8Array; hash: Uint8Array }[];
}>('header');

const headerOf = (fields: Fields): BlockHeader => ({
  version: fields.version,
  index: fields.index,
  timestampMs: fields.timestamp,
  prevHash: fields.prev_hash,
  chainId: fields.chain_id,
  pointsTo: fields.points_to,
  payloadHash: fields.payload_hash,
  payloadBytes: fields.payload_size,
  minerPub: fields.miner_pub,
  payloadSig: fields.payload_sig,
  bodyHash: fields.body_hash,
  bits: fields.bits,
  nonce: BigInt(fields.nonce),
});

test('header bytes and hashes are those of the vectors, both ways', () => {
  for (const { fields, bytes, hash } of headers) {
    assert.deepEqual(encodeHeader(headerOf(fields)), bytes);
    assert.deepEqual(decodeHeader(bytes), headerOf(fields));
    assert.deepEqual(blockHash(bytes), hash);
  }
});

test('a header inside a larger buffer is read at its place', () => {
  const { bytes, fields } = headers[0]!;
  const room = new Uint8Array(300);
  room.set(bytes, 11);
  assert.deepEqual(decodeHeader(room.subarray(11, 11 + HEADER_BYTES)), headerOf(fields));
});

test('the nonce stands alone behind the midstate', () => {
  const { bytes } = headers[0]!;
  const other = withNonce(bytes, 2n ** 64n - 1n);
  assert.deepEqual(other.subarray(0, NONCE_OFFSET), bytes.subarray(0, NONCE_OFFSET));
  assert.equal(decodeHeader(other).nonce, 2n ** 64n - 1n);
  assert.notDeepEqual(other, bytes);
});

test('every changed bit is refused or read as another header, with another hash', () => {
  const { bytes, hash } = headers[0]!;
  for (let bit = 0; bit < HEADER_BYTES * 8; bit++) {
    const bad = flipBit(bytes, bit);
    assert.notDeepEqual(blockHash(bad), hash);
    let decoded: BlockHeader;
    try {
      decoded = decodeHeader(bad);
    } catch (error) {
      assert.equal((error as { code?: string }).code, 'BLOCK_ENCODING', `bit ${bit}`);
      continue;
    }
    assert.deepEqual(encodeHeader(decoded), bad, `bit ${bit}`);
  }
});

test('property: what is read is written back, byte for byte', () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: HEADER_BYTES, maxLength: HEADER_BYTES }), (bytes) => {
      bytes.set([0, 1]);
      for (const at of [2, 10, 115]) bytes.fill(0, at, at + 2);
      bytes[50] = 0x41 + ((bytes[50] as number) & 1);
      assert.deepEqual(encodeHeader(decodeHeader(bytes)), bytes);
    }),
  );
});

test('BLOCK_ENCODING: other lengths, versions, chains, and numbers over 2⁵³ − 1', () => {
  const { bytes } = headers[0]!;
  const bad: [string, Uint8Array][] = [
    ['no bytes', new Uint8Array(0)],
    ['263 bytes', bytes.subarray(1)],
    ['265 bytes', Uint8Array.of(...bytes, 0)],
    ['version 0', change(bytes, 1, 0)],
    ['version 2', change(bytes, 1, 2)],
    ['version 257', change(bytes, 0, 1)],
    ['chain C', change(bytes, 50, 0x43)],
    ['chain a', change(bytes, 50, 0x61)],
    ['index 2⁵³', change(bytes, 3, 0x20)],
    ['timestamp 2⁵³', change(bytes, 11, 0x20)],
    ['payload_size 2⁵³', change(bytes, 116, 0x20)],
  ];
  for (const [what, header] of bad)
    assert.throws(() => decodeHeader(header), { code: 'BLOCK_ENCODING' }, what);
});

function change(bytes: Uint8Array, at: number, to: number): Uint8Array {
  const out = bytes.slice();
  out[at] = to;
  return out;
}
