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
