import { bigintFromBytes } from '#shared/crypto/bytes.ts';
import { must } from '#shared/errors/pool-error.ts';

/** A target is a 256-bit number; a hash, read as a big-endian number, must not exceed it. */
export const MAX_TARGET: bigint = (1n << 256n) - 1n;

/** Difficulty 1 is Bitcoin's: one share of it takes 2^32 hashes on average. */
export const DIFFICULTY_ONE_TARGET: bigint = 0xffffn << 208n;

const MANTISSA_BITS = 23n;
const MANTISSA_BYTES = 3n;

/**
 * Compact form → target: the first byte is the length in bytes of the number, the other three its leading
 * bytes, whose top bit is a sign (Bitcoin's nBits). Only the form that `bitsFromTarget` writes is accepted.
 * Throws BLOCK_ENCODING for anything else: not 32 bits, negative, zero, over 256 bits, or not the shortest form.
 */
export function targetFromBits(bits: number): bigint {
  must(
    Number.isInteger(bits) && bits >= 0 && bits <= 0xffff_ffff,
    'BLOCK_ENCODING',
    () => `bits: expected an unsigned 32-bit integer, got ${bits}`,
  );
  const compact = BigInt(bits);
  const size = compact >> 24n;
  const mantissa = compact & 0x7f_ffffn;
  const shown = `0x${compact.toString(16).padStart(8, '0')}`;
  must(
    (compact & 0x80_0000n) === 0n,
    'BLOCK_ENCODING',
    () => `bits: expected a positive target, got ${shown}`,
  );
  must(mantissa !== 0n, 'BLOCK_ENCODING', () => `bits: expected a target above zero, got ${shown}`);
  const shift = 8n * (size - MANTISSA_BYTES);
  const target = shift >= 0n ? mantissa << shift : mantissa >> -shift;
  must(target <= MAX_TARGET, 'BLOCK_ENCODING', () => `bits: expected at most 256 bits, got ${shown}`);
  const canonical = target > 0n && bitsFromTarget(target) === bits;
  must(canonical, 'BLOCK_ENCODING', () => `bits: expected the shortest form, got ${shown}`);
  return target;
}

/**
 * Target → compact form. It keeps the leading 16 to 23 bits, so the result may stand for a target that is
 * slightly lower (never higher). Throws BLOCK_ENCODING outside 1..2^256-1.
 */
export function bitsFromTarget(target: bigint): number {
  must(
    target > 0n && target <= MAX_TARGET,
    'BLOCK_ENCODING',
    () => `target: expected 1 to 2^256-1, got ${target}`,
  );
  let size = BigInt(Math.ceil(target.toString(16).length / 2));
  let mantissa = leading(target, size);
  // A set top bit would read as a sign: one byte more, one digit less.
  if (mantissa >> MANTISSA_BITS !== 0n) {
    size += 1n;
    mantissa = leading(target, size);
  }
  return Number((size << 24n) | mantissa);
}

function leading(target: bigint, size: bigint): bigint {
  const shift = 8n * (size - MANTISSA_BYTES);
  return shift >= 0n ? target >> shift : target << -shift;
}

/** Whether `hash` (32 bytes, read big-endian) is at most `target`. Throws BLOCK_HASH at another length. */
export function meetsTarget(hash: Uint8Array, target: bigint): boolean {
  must(hash.length === 32, 'BLOCK_HASH', () => `hash: expected 32 bytes, got ${hash.length}`);
  return bigintFromBytes(hash) <= target;
}

/** How many hashes it takes on average to meet the target of `bits`, rounded down: 2^256 / (target + 1). */
export function expectedHashes(bits: number): bigint {
  return (MAX_TARGET + 1n) / (targetFromBits(bits) + 1n);
}

/**
 * The difficulty of a target for display and metrics: how many times harder than difficulty 1. It is a
 * double, exact to about 15 digits; decisions compare targets, never difficulties.
 */
export function difficultyOfTarget(target: bigint): number {
  must(
    target > 0n && target <= MAX_TARGET,
    'BLOCK_ENCODING',
    () => `target: expected 1 to 2^256-1, got ${target}`,
  );
  // Both scaled to whole numbers that a double holds without overflow (at most 2^256).
  return Number(DIFFICULTY_ONE_TARGET) / Number(target);
}
