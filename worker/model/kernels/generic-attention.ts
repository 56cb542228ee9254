import type { Tensor1D, Tensor2D, Tensor4D } from '@tensorflow/tfjs';
import * as tf from '@tensorflow/tfjs';
import type { AttentionShape, CachedRows, Heads } from '#worker/model/kernels/kernels.ts';

/* Attention of TensorFlow.js operations (Vaswani et al. 2017; heads that share keys: Ainslie et al. 2023). */

/** Added to scores that a row must not see. Finite, so that 0 · mask stays a number. */
const MASKED = -1e9;

/** Rows [n,H·D] to heads [B,H,T,D]. */
function toHeads(rows: Tensor2D, { time, heads }: { time: number; heads: number }): Tensor4D {
  const [n, width] = rows.shape;
  return rows.reshape([n / time, time, heads, width / heads]).transpose([0, 2, 1, 3]);
}

function toRows(byHead: Tensor4D): Tensor2D {
  const [B, H, T, D] = byHead.shape;
  return byHead.transpose([0, 2, 1, 3]).reshape([B * T, H * D]);
}

/** Heads [B,H,t,·] that share key heads, those of one under each other: [B,K,H/K·t,·]; and any such back. */
function group(x: Tensor4D, heads: number): Tensor4D {
  const [B, H, t, last] = x.shape;
  return x.reshape([B, heads, (H * t) / heads, last]);
}

/** Scores of queries [B,H,t,D] against keys [B,K,all,D], the last t of which are theirs: [B,H,t,all]. */
function scores(queries: Tensor4D, keys: Tensor4D, window: number | null): Tensor4D {
  const [, H, t, D] = queries.shape;
  const [, K, all] = keys.shape;
  const raw = group(tf.matMul(group(queries, K), keys, false, true) as Tensor4D, H);
  const row = tf.range(all - t, all).expandDims(1); // [t,1]
  const column = tf.range(0, all).expandDims(0); // [1,all]
  const later = tf.greater(column, row); // [t,all]
  const hidden = window === null ? later : tf.logicalOr(later, tf.lessEqual(column, tf.sub(row, window)));
  return tf.add(tf.mul(raw, 1 / Math.sqrt(D)), tf.mul(tf.cast(hidden, 'float32'), MASKED));
}

export function attention(
  q: Tensor2D,
  k: Tensor2D,
  v: Tensor2D,
  shape: AttentionShape,
): [Tensor2D, Tensor1D] {
  return tf.tidy(() => {
    const { time, heads, kvHeads, window } = shape;
    const keys = toHeads(k, { time, heads: kvHeads }); // [B,K,T,D]
    const s = scores(toHeads(q, shape), keys, window); // [B,H,T,T]
    const logSum = tf.logSumExp(s, 3, true); // [B,H,T,1]
    const p = group(tf.exp(tf.sub(s, logSum)), kvHeads); // [B,K,H/K·T,T]
    const out = group(tf.matMul(p, toHeads(v, { time, heads: kvHeads })), heads); // [B,H,T,D]
    return [toRows(out), logSum.flatten()] as [Tensor2D, Tensor1D];
  });
}

export function attentionGrad(
  dout: Tensor2D,
  saved: { q: Tensor2D; k: Tensor2D; v: Tensor2D; out: Tensor2D; logSum: Tensor1D },
  shape: AttentionShape,
): [Tensor2D, Tensor2D, Tensor2D] {
  return tf.tidy(() => {
    const { time, heads, kvHeads, window } = shape;
    const q = toHeads(saved.q, shape); // [B,H,T,D]
    const [k, v] = [saved.k, saved.v].map((x) => toHeads(x, { time, heads: kvHeads })) as [
      Tensor4D,
      Tensor4D,
    ];
    const s = scores(q, k, window); // [B,H,T,T]
    const [B, H, T, D] = q.shape;
    const p = tf.exp(tf.sub(s, saved.logSum.reshape([B, H, T, 1]))) as Tensor4D;
    const dy = toHeads(dout, shape); // [B,H,T,D]
    const grouped = group(dy, kvHeads); // [B,K,H/K·T,D]
    const dp = group(tf.matMul(grouped, v, false, true), heads); // [B,H,T,T]
    const mean = tf.sum(tf.mul(dy, toHeads(saved.out, shape)), 3, true); // [B,H,T,1]
    const ds = group(tf.mul(tf.mul(p, tf.sub(dp, mean)), 1 / Math.sqrt(D)), kvHeads); // [B,K,H/K·T,T]
    const dq = group(tf.matMul(ds, k), heads); // [B,H,T,D]
    const dk = tf.matMul(ds, group(q, kvHeads), true) as Tensor4D; // [B,K,T,D]
    const dv = tf.matMul(group(p, kvHeads), grouped, true) as Tensor4D; // [B,K,T,D]
    return [toRows(dq), toRows(dk), toRows(dv)] as [Tensor2D, Tensor2D, Tensor2D];
  });
}

export function attentionCached(
  q: Tensor2D,
  k: Tensor2D,
  v: Tensor2D,
  sequences: readonly CachedRows[],
  shape: Heads,
): Tensor2D {
  return tf.tidy(() => {
    let start = 0;
    const outs = sequences.map((sequence) => {
      const part = (x: Tensor2D) => tf.slice(x, [start, 0], [sequence.rows, -1]);
      remember(sequence, part(k), part(v));
      const out = attendToCache(part(q), sequence, shape);
      start += sequence.rows;
      return out;
    });
    return tf.concat(outs, 0);
  });
}

/** Operations cannot write into a tensor: the cache is made anew, exactly as long as it is full. */
function remember({ layer, past }: CachedRows, k: Tensor2D, v: Tensor2D): void {
  const { keys, values } = layer;
  layer.keys = tf.keep(past === 0 ? tf.clone(k) : tf.concat([tf.slice(keys, [0, 0], [past, -1]), k], 0));
  layer.values = tf.keep(past === 0 ? tf.clone(v) : tf.concat([tf.slice(values, [0, 0], [past, -1]), v], 0));
  tf.dispose([keys, values]);
}

function attendToCache(q: Tensor2D, { layer, past, rows }: CachedRows, shape: Heads): Tensor2D {
  const { heads, kvHeads, window } = shape;
  const time = past + rows;
  const [k, v] = [layer.keys, layer.values].map((x) => toHeads(x, { time, heads: kvHeads })) as [
    Tensor4D,
    Tensor4D,
  ];
  const p = tf.softmax(scores(toHeads(q, { time: rows, heads }), k, window)); // [1,H,rows,time]
  return toRows(group(tf.matMul(group(p, kvHeads), v), heads)); // [rows,H·D]
}
