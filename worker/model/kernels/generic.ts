import type { Tensor1D, Tensor2D, Tensor3D } from '@tensorflow/tfjs';
import * as tf from '@tensorflow/tfjs';
import { attention, attentionCached, attentionGrad } from '#worker/model/kernels/generic-attention.ts';
import type { AdamWState, AdamWStep, Kernels, Layout, Rotation } from '#worker/model/kernels/kernels.ts';

/** √(2/π) and the cubic's factor of the tanh form of GELU (Hendrycks & Gimpel 2016). */
const GELU_A = Math.sqrt(2 / Math.PI);
const GELU_B = 0.044715;
/** Rows whose logits are in memory at once: 128 × 50,257 float32 are 26 MB. */
const HEAD_ROWS = 128;

/** Kernels of TensorFlow.js operations alone: the reference for ours, and what runs on other backends. */
export const genericKernels: Kernels = {
  linear,
  linearGrad,
  gelu: (x) => tf.tidy(() => tf.mul(x, tf.sigmoid(tf.mul(2, geluInner(x))))),
  geluGrad,
  swiglu: (gate, up) => tf.tidy(() => tf.mul(tf.mul(gate, tf.sigmoid(gate)), up)),
  swigluGrad,
  layerNorm,
  layerNormGrad,
  rmsNorm,
  rmsNormGrad,
  rope,
  attention,
  attentionGrad,
  attentionCached,
  gather: (table, ids) => tf.gather(table, ids),
  // Rows that come twice add up.
  scatterAdd: (dy, ids, rows) =>
    tf.tidy(() => tf.scatterND(ids.expandDims(1), dy, [rows, dy.shape[1]]) as Tensor2D),
  logits: (h, head) => tf.matMul(h, head, false, true),
  headLosses,
  headMeanLoss,
  sumOfSquares,
  adamW,
};

function linear(x: Tensor2D, w: Tensor2D, b: Tensor1D | null, layout: Layout): Tensor2D {
  const product = tf.matMul<Tensor2D>(x, w, false, layout === 'out-in'); // [n,F]
  if (b === null) return product;
  const y = tf.add<Tensor2D>(product, b);
  product.dispose();
  return y;
}

function linearGrad(
  dy: Tensor2D,
  x: Tensor2D,
  w: Tensor2D,
  { layout, bias }: { layout: Layout; bias: boolean },
): [Tensor2D, Tensor2D, Tensor1D | null] {
  const dx = tf.matMul<Tensor2D>(dy, w, false, layout === 'in-out'); // [n,C]
  const dw = layout === 'in-out' ? tf.matMul<Tensor2D>(x, dy, true) : tf.matMul<Tensor2D>(dy, x, true); // [C,F] or [F,C]
  return [dx, dw, bias ? tf.sum(dy, 0) : null];
}

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

/** With s = σ(gate), silu' = s·(1 + gate·(1 − s)). */
function swigluGrad(dy: Tensor2D, gate: Tensor2D, up: Tensor2D): [Tensor2D, Tensor2D] {
  return tf.tidy(() => {
    const s = tf.sigmoid(gate);
    const slope = tf.mul(s, tf.add(1, tf.mul(gate, tf.sub(1, s))));
    return [tf.mul(tf.mul(dy, up), slope), tf.mul(dy, tf.mul(gate, s))] as [Tensor2D, Tensor2D];
  });
}

function rmsNorm(x: Tensor2D, gain: Tensor1D, epsilon: number): [Tensor2D, Tensor1D] {
  return tf.tidy(() => {
    const inverseRms = tf.rsqrt(tf.add(tf.mean(tf.square(x), 1), epsilon)); // [n]
    return [tf.mul(tf.mul(x, inverseRms.expandDims(1)), gain), inverseRms] as [Tensor2D, Tensor1D];
  });
}

function rmsNormGrad(
  dy: Tensor2D,
  { x, gain, inverseRms }: { x: Tensor2D; gain: Tensor1D; inverseRms: Tensor1D },
): [Tensor2D, Tensor1D] {
  return tf.tidy(() => {
    const r = inverseRms.expandDims(1); // [n,1]
    const z = tf.mul(x, r); // [n,C]
    const dz = tf.mul(dy, gain); // [n,C]
    const alongZ = tf.mul(z, tf.mean(tf.mul(dz, z), 1, true)); // [n,C]
    return [tf.mul(tf.sub(dz, alongZ), r), tf.sum(tf.mul(dy, z), 0)] as [Tensor2D, Tensor1D];
  });
}

/** Su et al. 2021, with the halves of a head as the two parts of its pairs. */
function rope(
  x: Tensor2D,
  rotation: Rotation,
  { heads, inverse }: { heads: number; inverse: boolean },
): Tensor2D {
  return tf.tidy(() => {
    const [n, width] = x.shape;
    const [a, b] = tf.split(x.reshape([n, heads, width / heads]), 2, 2) as [Tensor3D, Tensor3D]; // [n,H,D/2]
    const cos = rotation.cos.expandDims(1); // [n,1,D/2]
    const sin = inverse ? tf.neg(rotation.sin).expandDims(1) : rotation.sin.expandDims(1);
    const first = tf.sub(tf.mul(a, cos), tf.mul(b, sin));
    const second = tf.add(tf.mul(b, cos), tf.mul(a, sin));
    return tf.concat([first, second], 2).reshape([n, width]) as Tensor2D;
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

async function sumOfSquares(tensors: readonly tf.Tensor[]): Promise<number> {
  const sums = tf.tidy(() => tf.stack(tensors.map((x) => tf.sum(tf.square(x)))));
  const values = (await sums.data()) as Float32Array;
  sums.dispose();
  return values.reduce((total, value) => total + value, 0);
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
