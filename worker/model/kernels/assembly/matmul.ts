import { FEW, fewRows } from './few-rows';
import { at, KC, madd, MC, MR, NC, NR, PACKED_A, PACKED_B, TILE } from './layout';
import { packAcross, packAlong } from './pack';

/*
 * c [m,n] = op(a) [m,k] · op(b) [k,n], row-major with row strides lda, ldb, ldc in values, after
 * Goto & van de Geijn 2008: blocks of b and a are packed for the caches, and a 4×8 tile of c is kept
 * in registers over a whole depth. Every value of c is summed in the same order whatever m and n are.
 */

/** Overwrite c; add to what is there; or start each row from the n values at `bias`. */
export const SET: i32 = 0;
export const ADD: i32 = 1;

/** `gemm`, but few rows go a way that reads b once and packs nothing. */
export function matmul(
  m: i32, n: i32, k: i32,
  a: usize, lda: i32, transposeA: i32,
  b: usize, ldb: i32, transposeB: i32,
  c: usize, ldc: i32, mode: i32, bias: usize,
  scratch: usize,
): void {
  if (m <= FEW && !transposeA) fewRows(m, n, k, a, lda, b, ldb, transposeB, c, ldc, mode, bias);
  else gemm(m, n, k, a, lda, transposeA, b, ldb, transposeB, c, ldc, mode, bias, scratch);
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
        const edge = scratch + TILE;
        beginEdge(rows, columns, edge, out, ldc, mode, bj);
        tile(kc, pa, pb, edge, NR, ADD, 0);
        copyRows(rows, columns, edge, NR, out, ldc);
      }
    }
  }
}

/** One 4×8 tile over the depth kc. */
function tile(kc: i32, a: usize, b: usize, c: usize, ldc: i32, mode: i32, bias: usize): void {
  const line = (<usize>ldc) << 2;
  const from = mode == ADD ? c : bias;
  const step: usize = mode == ADD ? line : 0;
  let c00 = begin(from), c01 = begin2(from);
  let c10 = begin(from, step), c11 = begin2(from, step);
  let c20 = begin(from, step * 2), c21 = begin2(from, step * 2);
  let c30 = begin(from, step * 3), c31 = begin2(from, step * 3);
  const end = a + <usize>(kc * MR * 4);
  for (; a < end; a += 16, b += 32) {
    const b0 = v128.load(b);
    const b1 = v128.load(b, 16);
    const a0 = v128.load32_splat(a);
    c00 = madd(a0, b0, c00);
    c01 = madd(a0, b1, c01);
    const a1 = v128.load32_splat(a, 4);
    c10 = madd(a1, b0, c10);
    c11 = madd(a1, b1, c11);
    const a2 = v128.load32_splat(a, 8);
    c20 = madd(a2, b0, c20);
    c21 = madd(a2, b1, c21);
    const a3 = v128.load32_splat(a, 12);
    c30 = madd(a3, b0, c30);
    c31 = madd(a3, b1, c31);
  }
  v128.store(c, c00);
  v128.store(c, c01, 16);
  v128.store(c + line, c10);
  v128.store(c + line, c11, 16);
  v128.store(c + line * 2, c20);
  v128.store(c + line * 2, c21, 16);
  v128.store(c + line * 3, c30);
  v128.store(c + line * 3, c31, 16);
}

/** What a row of the tile starts from: its values of c, the bias, or 0 where there is no address. */
// @ts-ignore: decorator
@inline
function begin(from: usize, offset: usize = 0): v128 {
  return from ? v128.load(from + offset) : f32x4.splat(0);
}

// @ts-ignore: decorator
@inline
function begin2(from: usize, offset: usize = 0): v128 {
  return from ? v128.load(from + offset, 16) : f32x4.splat(0);
}

/** A tile beyond the edge of c is computed beside it. What it starts from is brought there first. */
function beginEdge(rows: i32, columns: i32, edge: usize, c: usize, ldc: i32, mode: i32, bias: usize): void {
  memory.fill(edge, 0, <usize>(MR * NR * 4));
  if (mode == ADD) copyRows(rows, columns, c, ldc, edge, NR);
  else if (bias) copyRows(rows, columns, bias, 0, edge, NR);
}

function copyRows(rows: i32, columns: i32, from: usize, ldFrom: i32, to: usize, ldTo: i32): void {
  for (let i = 0; i < rows; i++) memory.copy(at(to, i * ldTo), at(from, i * ldFrom), (<usize>columns) << 2);
}
