import { readFileSync } from 'node:fs';
import { hexToBytes } from '@noble/hashes/utils.js';

/** Reads test/vectors/<name>.json; there {"$hex": …} stands for bytes and {"$int": …} for a bigint. */
export function readVectors<T>(name: string): T {
  const text = readFileSync(new URL(`../vectors/${name}.json`, import.meta.url), 'utf8');
  return JSON.parse(text, (_key, value: unknown) => {
    if (typeof value !== 'object' || value === null) return value;
    if ('$hex' in value) return hexToBytes(value.$hex as string);
    if ('$int' in value) return BigInt(value.$int as string);
    return value;
  }) as T;
}

/** A copy with one bit turned. */
export function flipBit(bytes: Uint8Array, bit: number): Uint8Array {
  const out = bytes.slice();
  out[bit >> 3] = (out[bit >> 3] as number) ^ (1 << (bit & 7));
  return out;
}
