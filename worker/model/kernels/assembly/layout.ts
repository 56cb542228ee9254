/*
 * Scratch memory that the caller hands to every kernel that needs some:
 *   packed a | packed b | one tile | the kernel's own rows
 * Sizes in bytes. Nothing here owns memory: all of it is the TensorFlow.js backend's.
 */

/** Rows and columns of the register tile: 8 accumulators, 2 of b and 1–4 of a fit the 16 registers of x86-64. */
export const MR: i32 = 4;
export const NR: i32 = 8;
/** Depth and width of a block of b (512 KiB, stays in L2) and rows of a block of a (64 KiB). */
export const KC: i32 = 256;
export const NC: i32 = 512;
export const MC: i32 = 64;

export const PACKED_A: usize = 0;
export const PACKED_B: usize = PACKED_A + <usize>(MC * KC * 4);
export const TILE: usize = PACKED_B + <usize>(KC * NC * 4);
export const OWN: usize = TILE + <usize>(MR * NR * 4);

/** Bytes of scratch that any kernel needs besides its own rows. */
export function scratchBytes(): usize {
  return OWN;
}

// @ts-ignore: decorator
@inline
export function at(base: usize, index: i32): usize {
  return base + ((<usize>index) << 2);
}

/** a·b + c: rounded once in the build with relaxed SIMD, where the processor can; else twice. */
// @ts-ignore: decorator
@inline
export function madd(a: v128, b: v128, c: v128): v128 {
  if (ASC_FEATURE_RELAXED_SIMD) return f32x4.relaxed_madd(a, b, c);
  return f32x4.add(c, f32x4.mul(a, b));
}

/** The same of single values, so that the last columns of a matrix are summed like the others. */
// @ts-ignore: decorator
@inline
export function madd1(a: f32, b: f32, c: f32): f32 {
  return f32x4.extract_lane(madd(f32x4.splat(a), f32x4.splat(b), f32x4.splat(c)), 0);
}

// @ts-ignore: decorator
@inline
export function sumLanes(x: v128): f32 {
  return (
    f32x4.extract_lane(x, 0) + f32x4.extract_lane(x, 1) + (f32x4.extract_lane(x, 2) + f32x4.extract_lane(x, 3))
  );
}
