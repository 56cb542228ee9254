import { at, KC, MC, MR, NC, NR, PACKED_A, PACKED_B, TILE } from './layout';
import { packAcross, packAlong } from './pack';

/*
 * c [m,n] = op(a) [m,k] · op(b) [k,n], row-major with row strides lda, ldb, ldc in values, after
 * Goto & van de Geijn 2008: blocks of b and a are packed for the caches, and a 4×8 tile of c is kept
 * in registers over a whole depth. Every value of c is summed in the same order whatever m and n are.
 */

/** Overwrite c; add to what is there; or start each row from the n values at `bias`. */
export const SET: i32 = 0;
export const ADD: i32 = 1;

/** `gemm`, but one row goes a shorter way that reads b once and packs nothing. */
export function matmul(
  m: i32, n: i32, k: i32,
  a: usize, lda: i32, transposeA: i32,
  b: usize, ldb: i32, transposeB: i32,
  c: usize, ldc: i32, mode: i32, bias: usize,
  scratch: usize,
): void {
  if (m > 1 || transposeA) {
    gemm(m, n, k, a, lda, transposeA, b, ldb, transposeB, c, ldc, mode, bias, scratch);
    return;
  }
  if (mode == SET) {
    if (bias) memory.copy(c, bias, <usize>n << 2);
    else memory.fill(c, 0, <usize>n << 2);
  }
  if (transposeB) rowTimesTransposed(n, k, a, b, ldb, c);
  else rowTimesMatrix(n, k, a, b, ldb, c);
}

export function gemm(
  m: i32, n: i32, k: i32,
  a: usize, lda: i32, transposeA: i32,
  b: usize, ldb: i32, transposeB: i32,
  c: usize, ldc: i32, mode: i32, bias: usize,
  scratch: usize,
): void {
  for (let j = 0; j < n; j += NC) {
    const nc = min(NC, n - j);
    for (let p = 0; p < k; p += KC) {
      const kc = min(KC, k - p);
      packB(b, ldb, transposeB, p, j, kc, nc, scratch + PACKED_B);
      const first = p == 0;
      const blockMode = first ? mode : ADD;
      const blockBias = first && bias ? at(bias, j) : 0;
      for (let i = 0; i < m; i += MC) {
        const mc = min(MC, m - i);
        packA(a, lda, transposeA, i, p, mc, kc, scratch + PACKED_A);
        block(mc, nc, kc, at(c, i * ldc + j), ldc, blockMode, blockBias, scratch);
      }
    }
  }
}

function packA(a: usize, lda: i32, transpose: i32, i: i32, p: i32, mc: i32, kc: i32, out: usize): void {
  for (let row = 0; row < mc; row += MR) {
    const lanes = min(MR, mc - row);
    if (transpose) packAlong(at(a, p * lda + i + row), lda, lanes, MR, kc, out);
    else packAcross(at(a, (i + row) * lda + p), lda, lanes, MR, kc, out);
    out += <usize>(kc * MR * 4);
  }
}

function packB(b: usize, ldb: i32, transpose: i32, p: i32, j: i32, kc: i32, nc: i32, out: usize): void {
  for (let column = 0; column < nc; column += NR) {
    const lanes = min(NR, nc - column);
    if (transpose) packAcross(at(b, (j + column) * ldb + p), ldb, lanes, NR, kc, out);
    else packAlong(at(b, p * ldb + j + column), ldb, lanes, NR, kc, out);
    out += <usize>(kc * NR * 4);
  }
}

/** All tiles of one packed block of a times one packed block of b. */
function block(mc: i32, nc: i32, kc: i32, c: usize, ldc: i32, mode: i32, bias: usize, scratch: usize): void {
  for (let j = 0; j < nc; j += NR) {
    const pb = scratch + PACKED_B + <usize>(j * kc * 4);
    const columns = min(NR, nc - j);
    const bj = bias ? at(bias, j) : 0;
    for (let i = 0; i < mc; i += MR) {
      const pa = scratch + PACKED_A + <usize>(i * kc * 4);
      const rows = min(MR, mc - i);
      const out = at(c, i * ldc + j);
      if (rows == MR && columns == NR) {
        tile(kc, pa, pb, out, ldc, mode, bj);
      } else {
        tile(kc, pa, pb, scratch + TILE, NR, SET, 0);
        copyEdge(rows, columns, scratch + TILE, out, ldc, mode, bj);
      }
    }
  }
}

/** One 4×8 tile over the depth kc. */
function tile(kc: i32, a: usize, b: usize, c: usize, ldc: i32, mode: i32, bias: usize): void {
  let c00 = f32x4.splat(0), c01 = f32x4.splat(0);
  let c10 = f32x4.splat(0), c11 = f32x4.splat(0);
  let c20 = f32x4.splat(0), c21 = f32x4.splat(0);
  let c30 = f32x4.splat(0), c31 = f32x4.splat(0);
  const end = a + <usize>(kc * MR * 4);
  for (; a < end; a += 16, b += 32) {
    const b0 = v128.load(b);
    const b1 = v128.load(b, 16);
    const a0 = v128.load32_splat(a);
    c00 = f32x4.add(c00, f32x4.mul(a0, b0));
    c01 = f32x4.add(c01, f32x4.mul(a0, b1));
    const a1 = v128.load32_splat(a, 4);
    c10 = f32x4.add(c10, f32x4.mul(a1, b0));
    c11 = f32x4.add(c11, f32x4.mul(a1, b1));
    const a2 = v128.load32_splat(a, 8);
    c20 = f32x4.add(c20, f32x4.mul(a2, b0));
    c21 = f32x4.add(c21, f32x4.mul(a2, b1));
    const a3 = v128.load32_splat(a, 12);
    c30 = f32x4.add(c30, f32x4.mul(a3, b0));
    c31 = f32x4.add(c31, f32x4.mul(a3, b1));
  }
  const line = (<usize>ldc) << 2;
  put(c, c00, c01, mode, bias);
  put(c + line, c10, c11, mode, bias);
  put(c + line * 2, c20, c21, mode, bias);
  put(c + line * 3, c30, c31, mode, bias);
}

// @ts-ignore: decorator
@inline
function put(c: usize, low: v128, high: v128, mode: i32, bias: usize): void {
  if (mode == ADD) {
    low = f32x4.add(low, v128.load(c));
    high = f32x4.add(high, v128.load(c, 16));
  } else if (bias) {
    low = f32x4.add(low, v128.load(bias));
    high = f32x4.add(high, v128.load(bias, 16));
  }
  v128.store(c, low);
  v128.store(c, high, 16);
}

function copyEdge(rows: i32, columns: i32, from: usize, c: usize, ldc: i32, mode: i32, bias: usize): void {
  for (let i = 0; i < rows; i++) {
    for (let j = 0; j < columns; j++) {
      const place = at(c, i * ldc + j);
      let value = load<f32>(at(from, i * NR + j));
      if (mode == ADD) value += load<f32>(place);
      else if (bias) value += load<f32>(at(bias, j));
      store<f32>(place, value);
    }
  }
}

/** c [n] += a [k] · b [k,n], four rows of b at a time. */
function rowTimesMatrix(n: i32, k: i32, a: usize, b: usize, ldb: i32, c: usize): void {
  const line = (<usize>ldb) << 2;
  let p = 0;
  for (; p + 4 <= k; p += 4) {
    const row = at(b, p * ldb);
    const a0 = v128.load32_splat(at(a, p));
    const a1 = v128.load32_splat(at(a, p), 4);
    const a2 = v128.load32_splat(at(a, p), 8);
    const a3 = v128.load32_splat(at(a, p), 12);
    let j = 0;
    for (; j + 4 <= n; j += 4) {
      const from = at(row, j);
      const low = f32x4.add(f32x4.mul(a0, v128.load(from)), f32x4.mul(a1, v128.load(from + line)));
      const high = f32x4.add(f32x4.mul(a2, v128.load(from + line * 2)), f32x4.mul(a3, v128.load(from + line * 3)));
      v128.store(at(c, j), f32x4.add(v128.load(at(c, j)), f32x4.add(low, high)));
    }
    for (; j < n; j++) {
      let sum = load<f32>(at(c, j));
      for (let q = 0; q < 4; q++) sum += load<f32>(at(a, p + q)) * load<f32>(at(row, q * ldb + j));
      store<f32>(at(c, j), sum);
    }
  }
  for (; p < k; p++) {
    for (let j = 0; j < n; j++) {
      store<f32>(at(c, j), load<f32>(at(c, j)) + load<f32>(at(a, p)) * load<f32>(at(b, p * ldb + j)));
    }
  }
}

/** c [n] += b [n,k] · a [k]: one dot product a row of b. */
function rowTimesTransposed(n: i32, k: i32, a: usize, b: usize, ldb: i32, c: usize): void {
  for (let j = 0; j < n; j++) {
    store<f32>(at(c, j), load<f32>(at(c, j)) + dot(a, at(b, j * ldb), k));
  }
}

/** Σ x·y over k values. */
export function dot(x: usize, y: usize, k: i32): f32 {
  let even = f32x4.splat(0);
  let odd = f32x4.splat(0);
  let p = 0;
  for (; p + 8 <= k; p += 8) {
    even = f32x4.add(even, f32x4.mul(v128.load(at(x, p)), v128.load(at(y, p))));
    odd = f32x4.add(odd, f32x4.mul(v128.load(at(x, p), 16), v128.load(at(y, p), 16)));
  }
  let sum = sumLanes(f32x4.add(even, odd));
  for (; p < k; p++) sum += load<f32>(at(x, p)) * load<f32>(at(y, p));
  return sum;
}

// @ts-ignore: decorator
@inline
export function sumLanes(x: v128): f32 {
  return (
    f32x4.extract_lane(x, 0) + f32x4.extract_lane(x, 1) + (f32x4.extract_lane(x, 2) + f32x4.extract_lane(x, 3))
  );
}
