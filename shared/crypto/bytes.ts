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

export function u64be(value: bigint | number): Uint8Array {
  const out = new Uint8Array(8);
  new DataView(out.buffer).setBigUint64(0, BigInt(value));
  return out;
}

export function readU64be(bytes: Uint8Array, offset = 0): bigint {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength).getBigUint64(offset);
}

export function bigintFromBytes(bytes: Uint8Array): bigint {
  return bytes.length === 0 ? 0n : BigInt(`0x${bytesToHex(bytes)}`);
}

/** All bytes of a stream that is known to be small. */
export async function collectBytes(stream: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  for await (const part of stream) parts.push(part.slice());
  return concatBytes(...parts);
}
