import type { Tensor1D, Tensor2D, Tensor4D } from '@tensorflow/tfjs';
import * as tf from '@tensorflow/tfjs';
import type {
  AdamWState,
  AdamWStep,
  AttentionShape,
  EmbeddingTables,
  Kernels,
} from '#worker/model/kernels/kernels.ts';

/** √(2/π) and the cubic's factor of the tanh form of GELU (Hendrycks & Gimpel 2016). */
const GELU_A = Math.sqrt(2 / Math.PI);
const GELU_B = 0.044715;
/** Rows whose logits are in memory at once: 128 × 50,257 float32 are 26 MB. */
const HEAD_ROWS = 128;
/** Added to scores that a row must not see. Finite, so that 0 · mask stays a number. */
const MASKED = -1e9;

/** Kernels of TensorFlow.js operations alone: the reference for ours, and what runs on other backends. */
export const genericKernels: Kernels = {
  linear: (x, w, b) => tf.tidy(() => tf.add(tf.matMul(x, w), b)),
  linearGrad: (dy, x, w) => [tf.matMul(dy, w, false, true), tf.matMul(x, dy, true, false), tf.sum(dy, 0)],
  gelu: (x) => tf.tidy(() => tf.mul(x, tf.sigmoid(tf.mul(2, geluInner(x))))),
  geluGrad,
  layerNorm,
  layerNormGrad,
  attention,
  attentionGrad,
  attentionCached,
  embed,
  embedGrad,
  logits: (h, head) => tf.matMul(h, head, false, true),
  headLosses,
  headMeanLoss,
  sumOfSquares: (tensors) =>
    tensors.reduce((total, x) => total + tf.tidy(() => tf.sum(tf.square(x)).dataSync()[0]!), 0),
  adamW,
};

/** u of gelu(x) = x·σ(2u), which equals x/2·(1 + tanh u). */
function geluInner(x: Tensor2D): Tensor2D {
  return tf.mul(tf.mul(x, GELU_A), tf.add(1, tf.mul(GELU_B, tf.square(x))));
}

function geluGrad(dy: Tensor2D, x: Tensor2D): Tensor2D {
  return tf.tidy(() => {
    const s = tf.sigmoid(tf.mul(2, geluInner(x)));
    const du = tf.mul(GELU_A, tf.add(1, tf.mul(3 * GELU_B, tf.square(x))));
    const slope = tf.add(s, tf.mul(tf.mul(2, x), tf.mul(tf.mul(s, tf.sub(1, s)), du)));
    return tf.mul(dy, slope);
  });
}

function layerNorm(
  x: Tensor2D,
  gain: Tensor1D,
  bias: Tensor1D,
  epsilon: number,
): [Tensor2D, Tensor1D, Tensor1D] {
  return tf.tidy(() => {
    const { mean, variance } = tf.moments(x, 1); // [n]
    const inverseSd = tf.rsqrt(tf.add(variance, epsilon)); // [n]
    const y = tf.add(tf.mul(normalised(x, mean as Tensor1D, inverseSd as Tensor1D), gain), bias); // [n,C]
    return [y, mean, inverseSd] as [Tensor2D, Tensor1D, Tensor1D];
  });
}

function layerNormGrad(
  dy: Tensor2D,
  saved: { x: Tensor2D; gain: Tensor1D; mean: Tensor1D; inverseSd: Tensor1D },
): [Tensor2D, Tensor1D, Tensor1D] {
  const { x, gain, mean, inverseSd } = saved;
  return tf.tidy(() => {
    const z = normalised(x, mean, inverseSd); // [n,C]
    const dz = tf.mul(dy, gain); // [n,C]
    const alongZ = tf.mul(z, tf.mean(tf.mul(dz, z), 1, true)); // [n,C]
    const dx = tf.mul(tf.sub(tf.sub(dz, tf.mean(dz, 1, true)), alongZ), inverseSd.expandDims(1));
    return [dx, tf.sum(tf.mul(dy, z), 0), tf.sum(dy, 0)] as [Tensor2D, Tensor1D, Tensor1D];
  });
}

function normalised(x: Tensor2D, mean: Tensor1D, inverseSd: Tensor1D): Tensor2D {
  return tf.mul(tf.sub(x, mean.expandDims(1)), inverseSd.expandDims(1));
}

/** Rows [n,C] to heads [B,H,T,D]. */
function toHeads(rows: Tensor2D, { time, heads }: AttentionShape): Tensor4D {
  const [n, C] = rows.shape;
  return rows.reshape([n / time, time, heads, C / heads]).transpose([0, 2, 1, 3]);
}

function toRows(byHead: Tensor4D): Tensor2D {
  const [B, H, T, D] = byHead.shape;
  return byHead.transpose([0, 2, 1, 3]).reshape([B * T, H * D]);
}

/** Scores of `queries` [B,H,t,D] against `keys` [B,H,past+t,D], masked to what came before. */
function scores(queries: Tensor4D, keys: Tensor4D): Tensor4D {
  const [, , t, D] = queries.shape;
  const all = keys.shape[2];
  const row = tf.range(all - t, all).expandDims(1); // [t,1]
  const hidden = tf.greater(tf.range(0, all).expandDims(0), row); // [t,all]
  const raw = tf.mul(tf.matMul(queries, keys, false, true), 1 / Math.sqrt(D));
  return tf.add(raw, tf.mul(tf.cast(hidden, 'float32'), MASKED));
}

function attention(qkv: Tensor2D, shape: AttentionShape): [Tensor2D, Tensor1D] {
  return tf.tidy(() => {
    const [q, k, v] = tf.split(qkv, 3, 1).map((x) => toHeads(x as Tensor2D, shape)) as [
      Tensor4D,
      Tensor4D,
      Tensor4D,
    ];
    const s = scores(q, k); // [B,H,T,T]
    const logSum = tf.logSumExp(s, 3, true); // [B,H,T,1]
    const p = tf.exp(tf.sub(s, logSum)) as Tensor4D;
    return [toRows(tf.matMul(p, v)), logSum.flatten()] as [Tensor2D, Tensor1D];
  });
}

function attentionGrad(
  dout: Tensor2D,
  saved: { qkv: Tensor2D; out: Tensor2D; logSum: Tensor1D },
  shape: AttentionShape,
): Tensor2D {
  return tf.tidy(() => {
    const rows = tf.split(saved.qkv, 3, 1) as Tensor2D[];
    const [q, k, v] = rows.map((x) => toHeads(x, shape)) as [Tensor4D, Tensor4D, Tensor4D];
    const s = scores(q, k); // [B,H,T,T]
    const [B, H, T, D] = q.shape;
    const p = tf.exp(tf.sub(s, saved.logSum.reshape([B, H, T, 1]))) as Tensor4D;
    const dy = toHeads(dout, shape); // [B,H,T,D]
    const dp = tf.matMul(dy, v, false, true); // [B,H,T,T]
    const mean = tf.sum(tf.mul(dy, toHeads(saved.out, shape)), 3, true); // [B,H,T,1]
    const ds = tf.mul(tf.mul(p, tf.sub(dp, mean)), 1 / Math.sqrt(D)) as Tensor4D;
    const grads = [tf.matMul(ds, k), tf.matMul(ds, q, true), tf.matMul(p, dy, true)];
    return tf.concat(
      grads.map((g) => toRows(g as Tensor4D)),
      1,
    );
  });
}

function attentionCached(
  qkv: Tensor2D,
  cache: Tensor2D,
  at: { past: number; heads: number },
): [Tensor2D, Tensor2D] {
  return tf.tidy(() => {
    const t = qkv.shape[0];
    const C = qkv.shape[1] / 3;
    const { past, heads } = at;
    const upTo = past + t;
    const fresh = tf.slice(qkv, [0, C], [t, 2 * C]);
    const seen = past === 0 ? fresh : tf.concat([tf.slice(cache, [0, 0], [past, 2 * C]), fresh], 0); // [upTo,2C]
    const [k, v] = tf.split(seen, 2, 1).map((x) => toHeads(x as Tensor2D, { time: upTo, heads })) as [
      Tensor4D,
      Tensor4D,
    ];
    const q = toHeads(tf.slice(qkv, [0, 0], [t, C]), { time: t, heads }); // [1,H,t,D]
    const out = toRows(tf.matMul(tf.softmax(scores(q, k)), v)); // [t,C]
    const rest = cache.shape[0] - upTo;
    const next = rest === 0 ? seen : tf.concat([seen, tf.slice(cache, [upTo, 0], [rest, 2 * C])], 0);
    return [out, next] as [Tensor2D, Tensor2D];
  });
}

function embed(ids: Tensor1D, tables: EmbeddingTables, at: { time: number; start: number }): Tensor2D {
  return tf.tidy(() => {
    const { time, start } = at;
    const [n, C] = [ids.shape[0], tables.tokens.shape[1]];
    const tokens = tf.gather(tables.tokens, ids).reshape([n / time, time, C]); // [B,T,C]
    const positions = tf.slice(tables.positions, [start, 0], [time, C]); // [T,C]
    return tf.add(tokens, positions).reshape([n, C]) as Tensor2D;
  });
}

function embedGrad(
  dy: Tensor2D,
  ids: Tensor1D,
  tables: EmbeddingTables & { time: number },
): [Tensor2D, Tensor2D] {
  return tf.tidy(() => {
    const { tokens, positions, time } = tables;
    const [n, C] = dy.shape;
    const dTokens = tf.scatterND(ids.expandDims(1), dy, tokens.shape); // repeated rows add up
    const used = tf.sum(dy.reshape([n / time, time, C]), 0); // [time,C]
    const dPositions = tf.pad(used as Tensor2D, [
      [0, positions.shape[0] - time],
      [0, 0],
    ]);
    return [dTokens, dPositions] as [Tensor2D, Tensor2D];
  });
}

/** Places of the labels in a [rows,V] matrix, [rows,2]. */
function places(labels: Tensor1D): Tensor2D {
  return tf.stack([tf.range(0, labels.shape[0], 1, 'int32'), labels], 1) as Tensor2D;
}

function chunks(n: number): [start: number, rows: number][] {
  return Array.from({ length: Math.ceil(n / HEAD_ROWS) }, (_, i) => {
    const start = i * HEAD_ROWS;
    return [start, Math.min(HEAD_ROWS, n - start)];
  });
}

function headLosses(h: Tensor2D, head: Tensor2D, labels: Tensor1D): Tensor1D {
  const parts = chunks(h.shape[0]).map(([start, rows]) =>
    tf.tidy(() => {
      const logits = tf.matMul(tf.slice(h, [start, 0], [rows, -1]), head, false, true); // [rows,V]
      const own = tf.gatherND(logits, places(tf.slice(labels, [start], [rows]))); // [rows]
      return tf.sub(tf.logSumExp(logits, 1), own) as Tensor1D;
    }),
  );
  const losses = tf.concat(parts);
  tf.dispose(parts);
  return losses;
}

function headMeanLoss(h: Tensor2D, head: Tensor2D, labels: Tensor1D): [Tensor1D, Tensor2D, Tensor2D] {
  return tf.tidy(() => {
    const n = h.shape[0];
    const dhs: Tensor2D[] = [];
    let dhead = tf.zerosLike(head);
    let loss = tf.zeros([1]) as Tensor1D;
    for (const [start, rows] of chunks(n)) {
      const [x, own] = [tf.slice(h, [start, 0], [rows, -1]), places(tf.slice(labels, [start], [rows]))];
      const logits = tf.matMul(x, head, false, true); // [rows,V]
      const logSum = tf.logSumExp(logits, 1, true); // [rows,1]
      const ones = tf.scatterND(own, tf.ones([rows]), [rows, head.shape[0]]);
      const dlogits = tf.div(tf.sub(tf.exp(tf.sub(logits, logSum)), ones), n) as Tensor2D;
      const total = tf.sum(tf.sub(logSum.flatten(), tf.gatherND(logits, own)));
      loss = tf.add(loss, tf.div(total, n));
      dhs.push(tf.matMul(dlogits, head));
      dhead = tf.add(dhead, tf.matMul(dlogits, x, true));
    }
    return [loss, tf.concat(dhs, 0), dhead] as [Tensor1D, Tensor2D, Tensor2D];
  });
}

function adamW(state: AdamWState, gradient: tf.Tensor, step: AdamWStep): void {
  const { weight, moment1, moment2 } = state;
  const [next, m, v] = tf.tidy(() => {
    const g = tf.mul(gradient, step.gradientScale);
    const m = tf.add(tf.mul(moment1, step.beta1), tf.mul(g, 1 - step.beta1));
    const v = tf.add(tf.mul(moment2, step.beta2), tf.mul(tf.square(g), 1 - step.beta2));
    const size = tf.add(tf.sqrt(tf.div(v, step.correction2)), step.epsilon);
    const move = tf.mul(tf.div(tf.div(m, step.correction1), size), step.learningRate);
    const kept = tf.mul(weight, 1 - step.learningRate * step.weightDecay);
    return [tf.sub(kept, move), m, v] as const;
  });
  tf.dispose([weight, moment1, moment2]);
  Object.assign(state, { weight: next, moment1: m, moment2: v });
}
