import { at, madd, madd1, sumLanes } from './layout';
import { ADD } from './matmul';

/*
 * c [m,n] = a [m,k] · op(b) for few rows, as in decoding: b is read from memory once, and nothing is packed.
 * Every value of c is summed in the same order whatever m is.
 */

/** Up to so many rows this is faster than packing (measured). */
export const FEW: i32 = 32;
/** Bytes of b that are fetched at a time, see `fetch`. */
const FETCH: i32 = 131072;

export function fewRows(
  m: i32, n: i32, k: i32, a: usize, lda: i32, b: usize, ldb: i32, transposeB: i32,
  c: usize, ldc: i32, mode: i32, bias: usize,
): void {
  for (let i = 0; i < m && mode != ADD; i++) {
    if (bias) memory.copy(at(c, i * ldc), bias, <usize>n << 2);
    else memory.fill(at(c, i * ldc), 0, <usize>n << 2);
  }
  if (transposeB) timesTransposed(m, n, k, a, lda, b, ldb, c, ldc);
  else if (m == 1) rowTimesMatrix(n, k, a, b, ldb, c);
  else timesMatrix(m, n, k, a, lda, b, ldb, c, ldc);
}

/** Rows of a matrix that are fetched together: a multiple of 8; 0 where they do not lie one after another. */
function rowsToFetch(width: i32, stride: i32): i32 {
  return width == stride ? max(8, (FETCH / 4 / width) & ~7) : 0;
}

/**
 * Reads one value of each cache line. A plain run through memory is as fast as memory is; the products that
 * follow, which go through several rows at once, are half as fast on what is not in a cache (measured).
 */
export function fetch(from: usize, bytes: usize): void {
  let seen = f32x4.splat(0);
  const end = from + (bytes & ~255);
  for (; from < end; from += 256) {
    const first = v128.or(v128.load(from), v128.load(from, 64));
    seen = v128.or(seen, v128.or(first, v128.or(v128.load(from, 128), v128.load(from, 192))));
  }
  // A use that is never reached in earnest, so that the compiler keeps the loads.
  if (!from) v128.store(from, seen);
}

/** c [n] += a [k] · b [k,n] */
function rowTimesMatrix(n: i32, k: i32, a: usize, b: usize, ldb: i32, c: usize): void {
  const group = rowsToFetch(n, ldb);
  let p = 0;
  for (; p + 8 <= k; p += 8) {
    const from = at(b, p * ldb);
    if (group && p % group == 0) fetch(from, <usize>(min(group, k - p) * n) << 2);
    addEight(n, at(a, p), from, ldb, c);
  }
  for (; p < k; p++) addOne(n, load<f32>(at(a, p)), at(b, p * ldb), c);
}

/** c [m,n] += a [m,k] · b [k,n] */
function timesMatrix(m: i32, n: i32, k: i32, a: usize, lda: i32, b: usize, ldb: i32, c: usize, ldc: i32): void {
  const group = rowsToFetch(n, ldb);
  let p = 0;
  for (; p + 4 <= k; p += 4) {
    const from = at(b, p * ldb);
    if (group && p % group == 0) fetch(from, <usize>(min(group, k - p) * n) << 2);
    let i = 0;
    for (; i + 2 <= m; i += 2) addFourTwice(n, at(a, i * lda + p), lda, from, ldb, at(c, i * ldc), ldc);
    if (i < m) addFour(n, at(a, i * lda + p), from, ldb, at(c, i * ldc));
  }
  for (; p < k; p++) {
    for (let i = 0; i < m; i++) addOne(n, load<f32>(at(a, i * lda + p)), at(b, p * ldb), at(c, i * ldc));
  }
}

/** c [n] += a [8] · b [8,n] */
function addEight(n: i32, a: usize, b: usize, ldb: i32, c: usize): void {
  const line = (<usize>ldb) << 2;
  const a0 = v128.load32_splat(a), a1 = v128.load32_splat(a, 4);
  const a2 = v128.load32_splat(a, 8), a3 = v128.load32_splat(a, 12);
  const a4 = v128.load32_splat(a, 16), a5 = v128.load32_splat(a, 20);
  const a6 = v128.load32_splat(a, 24), a7 = v128.load32_splat(a, 28);
  let j = 0;
  for (; j + 4 <= n; j += 4) {
    const from = at(b, j);
    const middle = from + line * 4;
    let sum = madd(a0, v128.load(from), v128.load(at(c, j)));
    sum = madd(a1, v128.load(from + line), sum);
    sum = madd(a2, v128.load(from + line * 2), sum);
    sum = madd(a3, v128.load(from + line * 3), sum);
    sum = madd(a4, v128.load(middle), sum);
    sum = madd(a5, v128.load(middle + line), sum);
    sum = madd(a6, v128.load(middle + line * 2), sum);
    sum = madd(a7, v128.load(middle + line * 3), sum);
    v128.store(at(c, j), sum);
  }
  addColumns(j, n, 8, a, b, ldb, c);
}

/** Two rows of c [·,n] += two rows of a [·,4] · b [4,n]; eight columns a turn, as four took a fifth longer (measured). */
function addFourTwice(n: i32, a: usize, lda: i32, b: usize, ldb: i32, c: usize, ldc: i32): void {
  const line = (<usize>ldb) << 2;
  const below = at(a, lda);
  const a0 = v128.load32_splat(a), a1 = v128.load32_splat(a, 4);
  const a2 = v128.load32_splat(a, 8), a3 = v128.load32_splat(a, 12);
  const d0 = v128.load32_splat(below), d1 = v128.load32_splat(below, 4);
  const d2 = v128.load32_splat(below, 8), d3 = v128.load32_splat(below, 12);
  let b0 = b, b1 = b + line, b2 = b + line * 2, b3 = b + line * 3;
  let up = c, low = at(c, ldc);
  const whole = n & ~7;
  for (const end = at(c, whole); up < end; up += 32, low += 32, b0 += 32, b1 += 32, b2 += 32, b3 += 32) {
    const v0 = v128.load(b0);
    let upper = madd(a0, v0, v128.load(up));
    let lower = madd(d0, v0, v128.load(low));
    const v1 = v128.load(b1);
    upper = madd(a1, v1, upper);
    lower = madd(d1, v1, lower);
    const v2 = v128.load(b2);
    upper = madd(a2, v2, upper);
    lower = madd(d2, v2, lower);
    const v3 = v128.load(b3);
    v128.store(up, madd(a3, v3, upper));
    v128.store(low, madd(d3, v3, lower));

    const w0 = v128.load(b0, 16);
    upper = madd(a0, w0, v128.load(up, 16));
    lower = madd(d0, w0, v128.load(low, 16));
    const w1 = v128.load(b1, 16);
    upper = madd(a1, w1, upper);
    lower = madd(d1, w1, lower);
    const w2 = v128.load(b2, 16);
    upper = madd(a2, w2, upper);
    lower = madd(d2, w2, lower);
    const w3 = v128.load(b3, 16);
    v128.store(up, madd(a3, w3, upper), 16);
    v128.store(low, madd(d3, w3, lower), 16);
  }
  addColumns(whole, n, 4, a, b, ldb, c);
  addColumns(whole, n, 4, below, b, ldb, at(c, ldc));
}

/** c [n] += a [4] · b [4,n] */
function addFour(n: i32, a: usize, b: usize, ldb: i32, c: usize): void {
  const line = (<usize>ldb) << 2;
  const a0 = v128.load32_splat(a), a1 = v128.load32_splat(a, 4);
  const a2 = v128.load32_splat(a, 8), a3 = v128.load32_splat(a, 12);
  let j = 0;
  for (; j + 4 <= n; j += 4) {
    const from = at(b, j);
    let sum = madd(a0, v128.load(from), v128.load(at(c, j)));
    sum = madd(a1, v128.load(from + line), sum);
    sum = madd(a2, v128.load(from + line * 2), sum);
    v128.store(at(c, j), madd(a3, v128.load(from + line * 3), sum));
  }
  addColumns(j, n, 4, a, b, ldb, c);
}

/** c [n] += a · b [n] */
function addOne(n: i32, a: f32, b: usize, c: usize): void {
  const a4 = f32x4.splat(a);
  let j = 0;
  for (; j + 4 <= n; j += 4) v128.store(at(c, j), madd(a4, v128.load(at(b, j)), v128.load(at(c, j))));
  for (; j < n; j++) store<f32>(at(c, j), madd1(a, load<f32>(at(b, j)), load<f32>(at(c, j))));
}

/** The last columns, j to n, of c [n] += a [depth] · b [depth,n] */
function addColumns(j: i32, n: i32, depth: i32, a: usize, b: usize, ldb: i32, c: usize): void {
  for (; j < n; j++) {
    let sum = load<f32>(at(c, j));
    for (let p = 0; p < depth; p++) sum = madd1(load<f32>(at(a, p)), load<f32>(at(b, p * ldb + j)), sum);
    store<f32>(at(c, j), sum);
  }
}

/** c [m,n] += a [m,k] · b [n,k]ᵀ: dot products, four columns of c and up to two rows at a time. */
function timesTransposed(m: i32, n: i32, k: i32, a: usize, lda: i32, b: usize, ldb: i32, c: usize, ldc: i32): void {
  const group = rowsToFetch(k, ldb);
  let j = 0;
  for (; j + 4 <= n; j += 4) {
    const from = at(b, j * ldb);
    if (group && j % group == 0) fetch(from, <usize>(min(group, n - j) * k) << 2);
    let i = 0;
    for (; i + 2 <= m; i += 2) dotsTwice(k, at(a, i * lda), lda, from, ldb, at(c, i * ldc + j), ldc);
    if (i < m) dots(k, at(a, i * lda), from, ldb, at(c, i * ldc + j));
  }
  for (; j < n; j++) {
    for (let i = 0; i < m; i++) {
      const place = at(c, i * ldc + j);
      store<f32>(place, load<f32>(place) + dot(at(a, i * lda), at(b, j * ldb), k));
    }
  }
}

/** Two rows of c [·,4] += two rows of a [·,k] · b [4,k]ᵀ */
function dotsTwice(k: i32, a: usize, lda: i32, b: usize, ldb: i32, c: usize, ldc: i32): void {
  const line = (<usize>ldb) << 2;
  const down = (<usize>lda) << 2;
  let c00 = f32x4.splat(0), c01 = f32x4.splat(0), c02 = f32x4.splat(0), c03 = f32x4.splat(0);
  let c10 = f32x4.splat(0), c11 = f32x4.splat(0), c12 = f32x4.splat(0), c13 = f32x4.splat(0);
  const whole = k & ~3;
  for (const end = at(a, whole); a < end; a += 16, b += 16) {
    const a0 = v128.load(a);
    const a1 = v128.load(a + down);
    const b0 = v128.load(b);
    c00 = madd(a0, b0, c00);
    c10 = madd(a1, b0, c10);
    const b1 = v128.load(b + line);
    c01 = madd(a0, b1, c01);
    c11 = madd(a1, b1, c11);
    const b2 = v128.load(b + line * 2);
    c02 = madd(a0, b2, c02);
    c12 = madd(a1, b2, c12);
    const b3 = v128.load(b + line * 3);
    c03 = madd(a0, b3, c03);
    c13 = madd(a1, b3, c13);
  }
  addSums(c00, c01, c02, c03, k - whole, a, b, ldb, c);
  addSums(c10, c11, c12, c13, k - whole, a + down, b, ldb, at(c, ldc));
}

/** c [4] += a [k] · b [4,k]ᵀ */
function dots(k: i32, a: usize, b: usize, ldb: i32, c: usize): void {
  const line = (<usize>ldb) << 2;
  let c0 = f32x4.splat(0), c1 = f32x4.splat(0), c2 = f32x4.splat(0), c3 = f32x4.splat(0);
  const whole = k & ~3;
  for (const end = at(a, whole); a < end; a += 16, b += 16) {
    const a0 = v128.load(a);
    c0 = madd(a0, v128.load(b), c0);
    c1 = madd(a0, v128.load(b + line), c1);
    c2 = madd(a0, v128.load(b + line * 2), c2);
    c3 = madd(a0, v128.load(b + line * 3), c3);
  }
  addSums(c0, c1, c2, c3, k - whole, a, b, ldb, c);
}

/** c [4] += the sums of four vectors' lanes, and of the `rest` products that filled no vector. */
function addSums(c0: v128, c1: v128, c2: v128, c3: v128, rest: i32, a: usize, b: usize, ldb: i32, c: usize): void {
  const low = f32x4.add(v128.shuffle<f32>(c0, c1, 0, 4, 1, 5), v128.shuffle<f32>(c0, c1, 2, 6, 3, 7));
  const high = f32x4.add(v128.shuffle<f32>(c2, c3, 0, 4, 1, 5), v128.shuffle<f32>(c2, c3, 2, 6, 3, 7));
  let sums = f32x4.add(v128.shuffle<f32>(low, high, 0, 1, 4, 5), v128.shuffle<f32>(low, high, 2, 3, 6, 7));
  for (let p = 0; p < rest; p++) {
    let column = f32x4.splat(load<f32>(at(b, p)));
    column = f32x4.replace_lane(column, 1, load<f32>(at(b, ldb + p)));
    column = f32x4.replace_lane(column, 2, load<f32>(at(b, 2 * ldb + p)));
    column = f32x4.replace_lane(column, 3, load<f32>(at(b, 3 * ldb + p)));
    sums = madd(v128.load32_splat(at(a, p)), column, sums);
  }
  v128.store(c, f32x4.add(v128.load(c), sums));
}

/** Σ x·y over k values. */
export function dot(x: usize, y: usize, k: i32): f32 {
  let even = f32x4.splat(0);
  let odd = f32x4.splat(0);
  let p = 0;
  for (; p + 8 <= k; p += 8) {
    even = madd(v128.load(at(x, p)), v128.load(at(y, p)), even);
    odd = madd(v128.load(at(x, p), 16), v128.load(at(y, p), 16), odd);
  }
  let sum = sumLanes(f32x4.add(even, odd));
  for (; p < k; p++) sum = madd1(load<f32>(at(x, p)), load<f32>(at(y, p)), sum);
  return sum;
}
