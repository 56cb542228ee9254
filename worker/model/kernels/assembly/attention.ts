import { ln } from './elementary';
import { dot } from './few-rows';
import { at, OWN } from './layout';
import { ADD, matmul, SET } from './matmul';
import { expRow, maxRow, scaleRow } from './pointwise';

/*
 * Causal attention of one head at a time, in blocks of query rows: the scores of a block stop at its last
 * visible column, and no more than one block of them exists. The gradient computes them again from the
 * kept log-sums (Dao et al. 2022). Queries [tq,D] are the last tq of tk keys and values [tk,D].
 * `scale` is 1/√D; ld* are row strides in values.
 */

/** Query rows at a time: enough to repay the packing of the keys, few enough to skip most of the future. */
const ROWS: i32 = 64;

/** Bytes of scratch for sequences of tk tokens, besides `scratchBytes`. */
export function attentionScratchBytes(tk: i32): usize {
  return <usize>(2 * ROWS * tk * 4);
}

/** out [tq,D]; logSums [tq] unless its address is 0. */
export function attend(
  q: usize, ldq: i32, k: usize, v: usize, ldkv: i32,
  tq: i32, tk: i32, D: i32,
  out: usize, ldo: i32, logSums: usize, scratch: usize,
): void {
  const scores = scratch + OWN;
  const scale: f32 = 1 / sqrt<f32>(<f32>D);
  for (let i = 0; i < tq; i += ROWS) {
    const rows = min(ROWS, tq - i);
    const columns = tk - tq + i + rows;
    matmul(rows, columns, D, at(q, i * ldq), ldq, 0, k, ldkv, 1, scores, columns, SET, 0, scratch);
    for (let row = 0; row < rows; row++) {
      const visible = columns - rows + row + 1;
      const logSum = softmaxRow(at(scores, row * columns), visible, columns, scale);
      if (logSums) store<f32>(at(logSums, i + row), logSum);
    }
    matmul(rows, D, columns, scores, columns, 0, v, ldkv, 0, at(out, i * ldo), ldo, SET, 0, scratch);
  }
}

/** Softmax of the visible scores times scale, 0 behind them; returns the log of the denominator. */
function softmaxRow(x: usize, visible: i32, columns: i32, scale: f32): f32 {
  const peak = maxRow(x, visible) * scale;
  const sum = expRow(x, visible, scale, peak);
  scaleRow(x, visible, 1 / sum);
  hide(x, visible, columns);
  return peak + <f32>ln(<f64>sum);
}

// @ts-ignore: decorator
@inline
function hide(x: usize, visible: i32, columns: i32): void {
  memory.fill(at(x, visible), 0, (<usize>(columns - visible)) << 2);
}

/** Adds to dq, dk and dv [t,D], which the caller has set to 0. q, k, v and their gradients share a row stride. */
export function attendGrad(
  q: usize, k: usize, v: usize, ld: i32, t: i32, D: i32,
  out: usize, dout: usize, ldo: i32, logSums: usize,
  dq: usize, dk: usize, dv: usize, scratch: usize,
): void {
  const p = scratch + OWN;
  const ds = p + <usize>(ROWS * t * 4);
  const scale: f32 = 1 / sqrt<f32>(<f32>D);
  for (let i = 0; i < t; i += ROWS) {
    const rows = min(ROWS, t - i);
    const columns = i + rows;
    const dy = at(dout, i * ldo);
    matmul(rows, columns, D, at(q, i * ld), ld, 0, k, ld, 1, p, columns, SET, 0, scratch);
    matmul(rows, columns, D, dy, ldo, 0, v, ld, 1, ds, columns, SET, 0, scratch);
    for (let row = 0; row < rows; row++) {
      const mean = dot(at(dy, row * ldo), at(out, (i + row) * ldo), D);
      const visible = i + row + 1;
      expRow(at(p, row * columns), visible, scale, load<f32>(at(logSums, i + row)));
      hide(at(p, row * columns), visible, columns);
      scoreGradRow(at(ds, row * columns), at(p, row * columns), columns, mean, scale);
    }
    matmul(rows, D, columns, ds, columns, 0, k, ld, 0, at(dq, i * ld), ld, ADD, 0, scratch);
    matmul(columns, D, rows, ds, columns, 1, at(q, i * ld), ld, 0, dk, ld, ADD, 0, scratch);
    matmul(columns, D, rows, p, columns, 1, dy, ldo, 0, dv, ld, ADD, 0, scratch);
  }
}

/** ds = p·(dp − mean)·scale, in the place of dp. Behind the visible columns p is 0, so ds is too. */
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

/** qkv [B·T,3C] → out [B·T,C] and logSums [B·H·T]. */
export function attention(
  qkv: usize, sequences: i32, time: i32, heads: i32, C: i32, out: usize, logSums: usize, scratch: usize,
): void {
  const D = C / heads;
  const ld = 3 * C;
  for (let s = 0; s < sequences; s++) {
    for (let h = 0; h < heads; h++) {
      const q = at(qkv, s * time * ld + h * D);
      const to = at(out, s * time * C + h * D);
      const sums = at(logSums, (s * heads + h) * time);
      attend(q, ld, at(q, C), at(q, 2 * C), ld, time, time, D, to, C, sums, scratch);
    }
  }
}

/** dqkv [B·T,3C] from dout [B·T,C]. */
export function attentionGrad(
  dout: usize, qkv: usize, out: usize, logSums: usize,
  sequences: i32, time: i32, heads: i32, C: i32, dqkv: usize, scratch: usize,
): void {
  const D = C / heads;
  const ld = 3 * C;
  memory.fill(dqkv, 0, (<usize>(sequences * time * ld)) << 2);
  for (let s = 0; s < sequences; s++) {
    for (let h = 0; h < heads; h++) {
      const q = at(qkv, s * time * ld + h * D);
      const dq = at(dqkv, s * time * ld + h * D);
      const y = s * time * C + h * D;
      const sums = at(logSums, (s * heads + h) * time);
      attendGrad(q, at(q, C), at(q, 2 * C), ld, time, D, at(out, y), at(dout, y), C, sums, dq, at(dq, C), at(dq, 2 * C), scratch);
    }
  }
}

/** Stores the keys and values of qkv [t,3C] behind the `past` rows of cache [·,2C], then attends to all of them. */
export function attentionCached(
  qkv: usize, cache: usize, past: i32, t: i32, heads: i32, C: i32, out: usize, scratch: usize,
): void {
  for (let row = 0; row < t; row++) {
    memory.copy(at(cache, (past + row) * 2 * C), at(qkv, row * 3 * C + C), (<usize>(2 * C)) << 2);
  }
  const D = C / heads;
  for (let h = 0; h < heads; h++) {
    const k = at(cache, h * D);
    attend(at(qkv, h * D), 3 * C, k, at(k, C), 2 * C, t, past + t, D, at(out, h * D), C, 0, scratch);
  }
}
