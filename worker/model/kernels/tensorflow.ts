import type { Tensor1D, Tensor2D } from '@tensorflow/tfjs';
import * as tf from '@tensorflow/tfjs';
import { genericKernels } from '#worker/model/kernels/generic.ts';
import { type Kernels, useKernels } from '#worker/model/kernels/kernels.ts';
import { tensorflowAttention } from '#worker/model/kernels/tensorflow-attention.ts';
import { type TensorflowOps, tensorflowOps } from '#worker/model/kernels/tensorflow-ops.ts';

/** √(2/π) and the cubic's factor of the tanh form of GELU (Hendrycks & Gimpel 2016). */
const GELU_A = Math.sqrt(2 / Math.PI);
const GELU_B = 0.044715;
/** Logits that are in memory at once: 166 rows of 50,257; more rows are no faster. */
const LOGITS_AT_ONCE = 2 ** 23;

/** Up to so many rows the head times the rows is faster than the rows times the head: 11 ms, not 18, for 8. */
const FEW_ROWS = 16;

/** Makes TensorFlow's own operations the kernels of the current backend, where they are faster than the generic ones. */
export function installTensorflowKernels(): void {
  const ops = tensorflowOps();
  useKernels('tensorflow', {
    ...genericKernels,
    ...dense(ops),
    ...norms(ops),
    ...losses(ops),
    ...tensorflowAttention(ops),
    gelu,
  });
}

function dense(ops: TensorflowOps): Pick<Kernels, 'linear' | 'linearGrad' | 'logits'> {
  return {
    linear(x, w, b, layout) {
      const y = ops.matMul(x, w, { b: layout === 'out-in' });
      if (b === null) return y;
      const out = ops.biasAdd(y, b);
      y.dispose();
      return out;
    },
    linearGrad(dy, x, w, { layout, bias }) {
      const inOut = layout === 'in-out';
      const dx = ops.matMul(dy, w, { b: inOut });
      const dw = inOut ? ops.matMul(x, dy, { a: true }) : ops.matMul(dy, x, { a: true });
      return [dx, dw, bias ? tf.sum(dy, 0) : null];
    },
    logits(h, head) {
      const n = h.shape[0];
      if (n === 1 || n > FEW_ROWS) return ops.matMul(h, head, { b: true });
      return tf.tidy(() => tf.transpose(ops.matMul(head, h, { b: true }))); // ([V,C]·[C,n])ᵀ
    },
  };
}

/** Eleven operations in all: for few rows their number is what costs. */
function norms(ops: TensorflowOps): Pick<Kernels, 'layerNorm' | 'rmsNorm'> {
  return {
    layerNorm(x, gain, bias, epsilon) {
      return tf.tidy(() => {
        const mean = ops.rowMeans(x); // [n,1]
        const centred = tf.sub(x, mean) as Tensor2D; // [n,C]
        const inverseSd = tf.rsqrt(tf.add(ops.rowMeans(tf.square(centred)), epsilon)); // [n,1]
        const y = tf.add(tf.mul(tf.mul(centred, inverseSd), gain), bias);
        return [y, mean.flatten(), inverseSd.flatten()] as [Tensor2D, Tensor1D, Tensor1D];
      });
    },
    rmsNorm(x, gain, epsilon) {
      return tf.tidy(() => {
        const inverseRms = tf.rsqrt(tf.add(ops.rowMeans(tf.square(x)), epsilon)); // [n,1]
        return [tf.mul(tf.mul(x, inverseRms), gain), inverseRms.flatten()] as [Tensor2D, Tensor1D];
      });
    },
  };
}

/** x·σ(2u), u = √(2/π)·(x + 0.044715·x³): six passes over x, the generic one takes eight. */
function gelu(x: Tensor2D): Tensor2D {
  return tf.tidy(() => {
    const slope = tf.add(tf.mul(tf.square(x), 2 * GELU_A * GELU_B), 2 * GELU_A);
    return tf.mul(x, tf.sigmoid(tf.mul(slope, x)));
  });
}

function losses(ops: TensorflowOps): Pick<Kernels, 'headLosses' | 'headMeanLoss'> {
  return {
    headLosses(h, head, labels) {
      return tf.tidy(() => {
        const parts = inChunks(h, head, labels).map(({ x, own }) => {
          return tf.tidy(() => ops.crossEntropy(ops.matMul(x, head, { b: true }), own)[0]);
        });
        return tf.concat(parts);
      });
    },
    headMeanLoss(h, head, labels) {
      return tf.tidy(() => {
        const scale = 1 / h.shape[0];
        let total = tf.zeros([1]) as Tensor1D;
        let dhead = tf.zerosLike(head);
        const dhs: Tensor2D[] = [];
        for (const { x, own } of inChunks(h, head, labels)) {
          const [part, dlogits] = ops.crossEntropy(ops.matMul(x, head, { b: true }), own);
          total = tf.add(total, tf.sum(part));
          dhs.push(ops.matMul(dlogits, head));
          dhead = tf.add(dhead, ops.matMul(dlogits, x, { a: true }));
          dlogits.dispose();
        }
        return [tf.mul(total, scale), tf.mul(tf.concat(dhs, 0), scale), tf.mul(dhead, scale)] as [
          Tensor1D,
          Tensor2D,
          Tensor2D,
        ];
      });
    },
  };
}

/** Rows of h [n,C] with their labels, so many together that their logits fit. */
function inChunks(h: Tensor2D, head: Tensor2D, labels: Tensor1D): { x: Tensor2D; own: Tensor1D }[] {
  const n = h.shape[0];
  const most = Math.max(1, Math.floor(LOGITS_AT_ONCE / head.shape[0]));
  return Array.from({ length: Math.ceil(n / most) }, (_, i) => {
    const start = i * most;
    const rows = Math.min(most, n - start);
    return { x: tf.slice(h, [start, 0], [rows, -1]), own: tf.slice(labels, [start], [rows]) };
  });
}
