import { bytesToHex, concatBytes, hexToBytes, utf8ToBytes } from '@noble/hashes/utils.js';
import { must } from '#shared/errors/pool-error.ts';

export { bytesToHex as toHex, concatBytes, utf8ToBytes };

export const ZERO_32: Uint8Array = new Uint8Array(32);

/** Lower-case hex of exactly `length` bytes → bytes. Upper case, prefixes and other lengths are refused. */
export function fromHex(text: string, length: number, what = 'hex'): Uint8Array {
  must(
    text.length === length * 2 && /^[0-9a-f]*$/.test(text),
    'BAD_REQUEST',
    () => `${what}: expected ${length * 2} lower-case hex digits, got ${JSON.stringify(text.slice(0, 80))}`,
  );
  return hexToBytes(text);
}

export function equalBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}

export function isZero(bytes: Uint8Array): boolean {
  return bytes.every((byte) => byte === 0);
}

/** Bytewise lexicographic order, as RocksDB and RFC 8949 sort keys. */
export function compareBytes(a: Uint8Array, b: Uint8Array): number {
  const n = Math.min(a.length, b.length);
  for (let i = 0; i < n; i++) {
    const difference = (a[i] as number) - (b[i] as number);
    if (difference !== 0) return difference;
  }
  return a.length - b.length;
}

const TWO_32 = 2 ** 32;

export function u64be(value: bigint | number): Uint8Array {
  const out = new Uint8Array(8);
  writeU64be(out, 0, value);
  return out;
}

/** By arithmetic: a view of its buffer would make V8 move a small array off its heap, which costs ten times as much. */
export function writeU64be(bytes: Uint8Array, at: number, value: bigint | number): void {
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0) {
    writeU32be(bytes, at, Math.floor(value / TWO_32));
    writeU32be(bytes, at + 4, value % TWO_32);
  } else {
    const big = BigInt(value); // a fraction is refused here
    writeU32be(bytes, at, Number(BigInt.asUintN(64, big) >> 32n));
    writeU32be(bytes, at + 4, Number(BigInt.asUintN(32, big)));
  }
}

function writeU32be(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 24;
  bytes[at + 1] = value >>> 16;
  bytes[at + 2] = value >>> 8;
  bytes[at + 3] = value;
}

export function readU64be(bytes: Uint8Array, offset = 0): bigint {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength).getBigUint64(offset);
}

/** Unsigned big-endian, in 32 bytes. */
export function u256be(value: bigint): Uint8Array {
  must(value >= 0n && value >> 256n === 0n, 'INTERNAL', () => `expected a number of 256 bits, got ${value}`);
  const out = new Uint8Array(32);
  for (let at = 24, rest = value; rest > 0n; at -= 8, rest >>= 64n) writeU64be(out, at, rest);
  return out;
}

export function bigintFromBytes(bytes: Uint8Array): bigint {
  if (bytes.length % 8 !== 0) return BigInt(`0x${bytesToHex(bytes)}`);
  // Word by word: six times as fast as by way of hex (measured).
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let value = 0n;
  for (let at = 0; at < bytes.length; at += 8) value = (value << 64n) | view.getBigUint64(at);
  return value;
}

/** All bytes of a stream that is known to be small. */
export async function collectBytes(stream: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  for await (const part of stream) parts.push(part.slice());
  return concatBytes(...parts);
}
