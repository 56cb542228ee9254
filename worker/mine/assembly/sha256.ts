// SHA-256 (FIPS 180-4): the functions of §4.1.2 on four lanes, and a plain compression for the midstate.

/** The round constants of §4.2.2. */
export const K: usize = memory.data<u32>([
  0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
  0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
  0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
  0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
  0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
  0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
  0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
  0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
]);

/** The initial hash value of §5.3.3. */
const INITIAL: usize = memory.data<u32>([
  0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19,
]);

const SCHEDULE: usize = memory.data(64 * 4, 16);
const WORKING: usize = memory.data(8 * 4, 16);

// Four lanes

// @ts-ignore: decorator
@inline
export function add(a: v128, b: v128): v128 {
  return i32x4.add(a, b);
}

// @ts-ignore: decorator
@inline
export function xor(a: v128, b: v128): v128 {
  return v128.xor(a, b);
}

// @ts-ignore: decorator
@inline
function rotate(x: v128, bits: i32): v128 {
  return xor(i32x4.shr_u(x, bits), i32x4.shl(x, 32 - bits));
}

// @ts-ignore: decorator
@inline
function bigSigma0(x: v128): v128 {
  return xor(xor(rotate(x, 2), rotate(x, 13)), rotate(x, 22));
}

// @ts-ignore: decorator
@inline
function bigSigma1(x: v128): v128 {
  return xor(xor(rotate(x, 6), rotate(x, 11)), rotate(x, 25));
}

// @ts-ignore: decorator
@inline
export function sigma0(x: v128): v128 {
  return xor(xor(rotate(x, 7), rotate(x, 18)), i32x4.shr_u(x, 3));
}

// @ts-ignore: decorator
@inline
export function sigma1(x: v128): v128 {
  return xor(xor(rotate(x, 17), rotate(x, 19)), i32x4.shr_u(x, 10));
}

/** T1 of a round. Ch(e, f, g) is written with one operation fewer than in the standard. */
// @ts-ignore: decorator
@inline
export function t1(e: v128, f: v128, g: v128, h: v128, keyedWord: v128): v128 {
  const choice = xor(g, v128.and(e, xor(f, g)));
  return add(add(add(h, keyedWord), choice), bigSigma1(e));
}

/**
 * T2 of a round, given a ⊕ b and b ⊕ c: Maj(a, b, c) = b ⊕ ((a ⊕ b) ∧ (b ⊕ c)), and a round's a ⊕ b is the
 * next round's b ⊕ c, so each is computed once.
 */
// @ts-ignore: decorator
@inline
export function t2(a: v128, b: v128, ab: v128, bc: v128): v128 {
  return add(bigSigma0(a), xor(b, v128.and(ab, bc)));
}

// One lane

function word(base: usize, i: i32): u32 {
  return load<u32>(base + (<usize>i << 2));
}

export function scalarSigma0(x: u32): u32 {
  return rotr<u32>(x, 7) ^ rotr<u32>(x, 18) ^ (x >> 3);
}

export function scalarSigma1(x: u32): u32 {
  return rotr<u32>(x, 17) ^ rotr<u32>(x, 19) ^ (x >> 10);
}

/** One round on the eight words at `state`. */
export function scalarRound(state: usize, keyedWord: u32): void {
  const a = word(state, 0);
  const b = word(state, 1);
  const c = word(state, 2);
  const e = word(state, 4);
  const s1 = rotr<u32>(e, 6) ^ rotr<u32>(e, 11) ^ rotr<u32>(e, 25);
  const choice = (e & word(state, 5)) ^ (~e & word(state, 6));
  const first = word(state, 7) + s1 + choice + keyedWord;
  const s0 = rotr<u32>(a, 2) ^ rotr<u32>(a, 13) ^ rotr<u32>(a, 22);
  const majority = (a & b) ^ (a & c) ^ (b & c);
  memory.copy(state + 4, state, 28);
  store<u32>(state + 16, word(state, 4) + first);
  store<u32>(state, first + s0 + majority);
}

export function initialise(state: usize): void {
  memory.copy(state, INITIAL, 32);
}

/** Takes the 64 bytes at `block` into the eight words at `state`. */
export function compress(state: usize, block: usize): void {
  for (let i = 0; i < 16; i++) store<u32>(SCHEDULE + (i << 2), bswap<u32>(word(block, i)));
  for (let i = 16; i < 64; i++) {
    const mixed = scalarSigma1(word(SCHEDULE, i - 2)) + scalarSigma0(word(SCHEDULE, i - 15));
    store<u32>(SCHEDULE + (i << 2), mixed + word(SCHEDULE, i - 7) + word(SCHEDULE, i - 16));
  }
  memory.copy(WORKING, state, 32);
  for (let i = 0; i < 64; i++) scalarRound(WORKING, word(K, i) + word(SCHEDULE, i));
  for (let i = 0; i < 8; i++) store<u32>(state + (i << 2), word(state, i) + word(WORKING, i));
}
