import { ln } from './elementary';
import { dot, fetch } from './few-rows';
import { at, OWN } from './layout';
import { ADD, matmul, SET } from './matmul';
import { expRow, maxRow, scaleRow } from './pointwise';

/*
 * Causal attention of H heads of queries to K heads of keys and values, D values each; heads h·K/H share a key
 * head. Rows q [·,H·D], k and v [·,K·D]. A row sees itself and window − 1 rows before it, or all of them where
 * window is 0. Scores exist for a block of query rows at a time, from its first visible column to its last.
 */

/** Query rows at a time: enough to repay the packing of the keys, few enough to skip most of the future. */
const ROWS: i32 = 64;
/** Bytes of keys or values that one token meets at a time with all its heads: they stay in the second cache. */
const BLOCK: i32 = 262144;

/** Bytes of scratch, besides `scratchBytes`, for sequences of tk tokens. */
export function attentionScratchBytes(tk: i32, heads: i32): usize {
  return <usize>max(2 * ROWS, heads) * <usize>tk * 4;
}

// @ts-ignore: decorator
@inline
function firstVisible(position: i32, window: i32): i32 {
  return window ? max(0, position + 1 - window) : 0;
}

/**
 * One head: queries q [tq,D] are the last tq of tk rows; the strides are of rows. out [tq,D], and the log of each
 * row's softmax denominator [tq] unless that address is 0.
 */
function attend(
  q: usize, ldq: i32, k: usize, v: usize, ldkv: i32, tq: i32, tk: i32, D: i32, window: i32,
  out: usize, logSums: usize, scratch: usize,
): void {
  const scores = scratch + OWN;
  const scale: f32 = 1 / sqrt<f32>(<f32>D);
  for (let i = 0; i < tq; i += ROWS) {
    const rows = min(ROWS, tq - i);
    const position = tk - tq + i;
    const first = firstVisible(position, window);
    const columns = position + rows - first;
    const from = first * ldkv;
    matmul(rows, columns, D, at(q, i * ldq), ldq, 0, at(k, from), ldkv, 1, scores, columns, SET, 0, scratch);
    for (let row = 0; row < rows; row++) {
      const begin = firstVisible(position + row, window) - first;
      const logSum = softmaxRow(at(scores, row * columns), begin, position + row + 1 - first, columns, scale);
      if (logSums) store<f32>(at(logSums, i + row), logSum);
    }
    matmul(rows, D, columns, scores, columns, 0, at(v, from), ldkv, 0, at(out, i * ldq), ldq, SET, 0, scratch);
  }
}

/** Softmax of x·scale from `begin` to `end`, 0 beside it in `columns`; returns the log of the denominator. */
function softmaxRow(x: usize, begin: i32, end: i32, columns: i32, scale: f32): f32 {
  const seen = at(x, begin);
  const peak = maxRow(seen, end - begin) * scale;
  const sum = expRow(seen, end - begin, scale, peak);
  scaleRow(seen, end - begin, 1 / sum);
  hide(x, begin, end, columns);
  return peak + <f32>ln(<f64>sum);
}

// @ts-ignore: decorator
@inline
function hide(x: usize, begin: i32, end: i32, columns: i32): void {
  memory.fill(x, 0, (<usize>begin) << 2);
  memory.fill(at(x, end), 0, (<usize>(columns - end)) << 2);
}

/**
 * The gradient of one head of t rows, with the scores computed again from the kept log-sums (Dao et al. 2022).
 * Adds to dq, dk and dv [t,D], which the caller has set to 0.
 */
function attendGrad(
  q: usize, ldq: i32, k: usize, v: usize, ldkv: i32, t: i32, D: i32, window: i32,
  out: usize, dout: usize, logSums: usize, dq: usize, dk: usize, dv: usize, scratch: usize,
): void {
  const p = scratch + OWN;
  const ds = p + <usize>(ROWS * t * 4);
  const scale: f32 = 1 / sqrt<f32>(<f32>D);
  for (let i = 0; i < t; i += ROWS) {
    const rows = min(ROWS, t - i);
    const first = firstVisible(i, window);
    const columns = i + rows - first;
    const from = first * ldkv;
    const dy = at(dout, i * ldq);
    matmul(rows, columns, D, at(q, i * ldq), ldq, 0, at(k, from), ldkv, 1, p, columns, SET, 0, scratch);
    matmul(rows, columns, D, dy, ldq, 0, at(v, from), ldkv, 1, ds, columns, SET, 0, scratch);
    for (let row = 0; row < rows; row++) {
      const mean = dot(at(dy, row * ldq), at(out, (i + row) * ldq), D);
      const begin = firstVisible(i + row, window) - first;
      const end = i + row + 1 - first;
      const line = at(p, row * columns);
      expRow(at(line, begin), end - begin, scale, load<f32>(at(logSums, i + row)));
      hide(line, begin, end, columns);
      scoreGradRow(at(ds, row * columns), line, columns, mean, scale);
    }
    matmul(rows, D, columns, ds, columns, 0, at(k, from), ldkv, 0, at(dq, i * ldq), ldq, ADD, 0, scratch);
    matmul(columns, D, rows, ds, columns, 1, at(q, i * ldq), ldq, 0, at(dk, from), ldkv, ADD, 0, scratch);
    matmul(columns, D, rows, p, columns, 1, dy, ldq, 0, at(dv, from), ldkv, ADD, 0, scratch);
  }
}

/** ds = p·(dp − mean)·scale, in the place of dp. Beside the visible columns p is 0, so ds is too. */
function scoreGradRow(dp: usize, p: usize, columns: i32, mean: f32, scale: f32): void {
  const m = f32x4.splat(mean);
  const s = f32x4.splat(scale);
  let j = 0;
  for (; j + 4 <= columns; j += 4) {
    const moved = f32x4.mul(f32x4.sub(v128.load(at(dp, j)), m), s);
    v128.store(at(dp, j), f32x4.mul(v128.load(at(p, j)), moved));
  }
  for (; j < columns; j++) {
    store<f32>(at(dp, j), load<f32>(at(p, j)) * (load<f32>(at(dp, j)) - mean) * scale);
  }
}

/** q [B·T,H·D], k and v [B·T,K·D] → out [B·T,H·D] and logSums [B·H·T] */
export function attention(
  q: usize, k: usize, v: usize, sequences: i32, time: i32, heads: i32, kvHeads: i32, D: i32, window: i32,
  out: usize, logSums: usize, scratch: usize,
): void {
  const ldq = heads * D;
  const ldkv = kvHeads * D;
  for (let s = 0; s < sequences; s++) {
    for (let h = 0; h < heads; h++) {
      const own = s * time * ldq + h * D;
      const shared = s * time * ldkv + (h * kvHeads) / heads * D;
      const sums = at(logSums, (s * heads + h) * time);
      attend(at(q, own), ldq, at(k, shared), at(v, shared), ldkv, time, time, D, window, at(out, own), sums, scratch);
    }
  }
}

/** dout [B·T,H·D] → dq [B·T,H·D], dk and dv [B·T,K·D] */
export function attentionGrad(
  dout: usize, q: usize, k: usize, v: usize, out: usize, logSums: usize,
  sequences: i32, time: i32, heads: i32, kvHeads: i32, D: i32, window: i32,
  dq: usize, dk: usize, dv: usize, scratch: usize,
): void {
  const ldq = heads * D;
  const ldkv = kvHeads * D;
  memory.fill(dq, 0, (<usize>(sequences * time * ldq)) << 2);
  memory.fill(dk, 0, (<usize>(sequences * time * ldkv)) << 2);
  memory.fill(dv, 0, (<usize>(sequences * time * ldkv)) << 2);
  for (let s = 0; s < sequences; s++) {
    for (let h = 0; h < heads; h++) {
      const own = s * time * ldq + h * D;
      const shared = s * time * ldkv + (h * kvHeads) / heads * D;
      const sums = at(logSums, (s * heads + h) * time);
      attendGrad(
        at(q, own), ldq, at(k, shared), at(v, shared), ldkv, time, D, window,
        at(out, own), at(dout, own), sums, at(dq, own), at(dk, shared), at(dv, shared), scratch,
      );
    }
  }
}

/**
 * Puts k and v [t,K·D] behind the `past` rows of keys and values [·,K·D], which have room for them; then q [t,H·D]
 * attends to all → out [t,H·D].
 */
export function attentionCached(
  q: usize, k: usize, v: usize, keys: usize, values: usize, past: i32, t: i32,
  heads: i32, kvHeads: i32, D: i32, window: i32, out: usize, scratch: usize,
): void {
  const ldq = heads * D;
  const ldkv = kvHeads * D;
  memory.copy(at(keys, past * ldkv), k, (<usize>(t * ldkv)) << 2);
  memory.copy(at(values, past * ldkv), v, (<usize>(t * ldkv)) << 2);
  if (t == 1) {
    const first = firstVisible(past, window);
    attendToken(q, at(keys, first * ldkv), at(values, first * ldkv), past + 1 - first, heads, kvHeads, D, out, scratch);
    return;
  }
  for (let h = 0; h < heads; h++) {
    const shared = (h * kvHeads) / heads * D;
    attend(at(q, h * D), ldq, at(keys, shared), at(values, shared), ldkv, t, past + t, D, window, at(out, h * D), 0, scratch);
  }
}

/**
 * One token, q [H·D], which sees all of k and v [tk,K·D] → out [H·D]. Keys and values come from memory in their own
 * order, a block for all heads, where head by head each would be a walk in strides.
 */
function attendToken(
  q: usize, k: usize, v: usize, tk: i32, heads: i32, kvHeads: i32, D: i32, out: usize, scratch: usize,
): void {
  const scores = scratch + OWN; // [H,tk]
  const scale: f32 = 1 / sqrt<f32>(<f32>D);
  const group = heads / kvHeads;
  const ldkv = kvHeads * D;
  const block = max(8, (BLOCK / 4 / ldkv) & ~7);
  for (let j = 0; j < tk; j += block) {
    const rows = min(block, tk - j);
    fetch(at(k, j * ldkv), (<usize>(rows * ldkv)) << 2);
    for (let h = 0; h < kvHeads; h++) {
      const own = h * group;
      matmul(group, rows, D, at(q, own * D), D, 0, at(k, j * ldkv + h * D), ldkv, 1, at(scores, own * tk + j), tk, SET, 0, scratch);
    }
  }
  for (let h = 0; h < heads; h++) softmaxRow(at(scores, h * tk), 0, tk, tk, scale);
  for (let j = 0; j < tk; j += block) {
    const rows = min(block, tk - j);
    const mode = j == 0 ? SET : ADD;
    fetch(at(v, j * ldkv), (<usize>(rows * ldkv)) << 2);
    for (let h = 0; h < kvHeads; h++) {
      const own = h * group;
      matmul(group, D, rows, at(scores, own * tk + j), tk, 0, at(v, j * ldkv + h * D), ldkv, 0, at(out, own * D), D, mode, 0, scratch);
    }
  }
}
