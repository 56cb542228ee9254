import type { Tensor, Tensor1D, Tensor2D } from '@tensorflow/tfjs';
import * as tf from '@tensorflow/tfjs';
import { isFrozen } from '#worker/model/frozen.ts';
import {
  type AttentionShape,
  activeKernels,
  type Layout,
  type Rotation,
} from '#worker/model/kernels/kernels.ts';

/*
 * The building blocks of every family: each pairs a kernel with the kernel of its gradient, so that
 * a network is written forwards only. n rows, C width, F out, H heads, K key/value heads, D values a head.
 */

type Gradients = (dy: Tensor, saved: Tensor[]) => Tensor[];
type Save = (tensors: Tensor[]) => void;

/**
 * `tf.customGrad` with the types that its variadic callback loses. TensorFlow.js keeps what flows backwards until all
 * gradients are there; it is given back here as soon as it is used, and a training step needs a third less memory.
 */
function differentiable<T extends Tensor>(
  inputs: Tensor[],
  forward: (save: Save) => { value: T; gradFunc: Gradients },
): T {
  const withSave = (...args: unknown[]) => {
    const { value, gradFunc } = forward(args[args.length - 1] as Save);
    const freeing: Gradients = (dy, saved) => {
      const gradients = gradFunc(dy, saved);
      dy.dispose();
      return gradients;
    };
    return { value, gradFunc: freeing };
  };
  return tf.customGrad(withSave as unknown as Parameters<typeof tf.customGrad<T>>[0])(...inputs);
}

/** a + b, of the same shape */
export function add(a: Tensor2D, b: Tensor2D): Tensor2D {
  return differentiable([a, b], () => ({
    value: tf.add<Tensor2D>(a, b),
    gradFunc: (dy) => [dy.clone(), dy.clone()],
  }));
}

/** x [n,C] · w + b [F] → [n,F]; w is [C,F] or [F,C] by its layout */
export function linear(x: Tensor2D, w: Tensor2D, b: Tensor1D | null, layout: Layout): Tensor2D {
  if (isFrozen(w)) return linearByFrozen(x, w, b, layout);
  return differentiable([x, w, ...(b ? [b] : [])], (save) => {
    save([x, w]);
    return {
      value: activeKernels().linear(x, w, b, layout),
      gradFunc: (dy, [x, w]) => {
        const how = { layout, bias: b !== null };
        const [dx, dw, db] = activeKernels().linearGrad(dy as Tensor2D, x as Tensor2D, w as Tensor2D, how);
        return db ? [dx, dw, db] : [dx, dw];
      },
    };
  });
}

/** The same, with no gradient for w: that of x is a product with w turned round. */
function linearByFrozen(x: Tensor2D, w: Tensor2D, b: Tensor1D | null, layout: Layout): Tensor2D {
  const bias = b !== null && !isFrozen(b) ? b : null;
  const turned = layout === 'in-out' ? 'out-in' : 'in-out';
  return differentiable([x, ...(bias ? [bias] : [])], () => ({
    value: activeKernels().linear(x, w, b, layout),
    gradFunc: (dy) => {
      const dx = activeKernels().linear(dy as Tensor2D, w, null, turned);
      return bias ? [dx, tf.sum(dy, 0)] : [dx];
    },
  }));
}

/** x/2·(1 + tanh(√(2/π)·(x + 0.044715·x³))), elementwise */
export function gelu(x: Tensor2D): Tensor2D {
  return differentiable([x], (save) => {
    save([x]);
    return {
      value: activeKernels().gelu(x),
      gradFunc: (dy, saved) => [activeKernels().geluGrad(dy as Tensor2D, saved[0] as Tensor2D)],
    };
  });
}

/** gate·σ(gate)·up, elementwise (Shazeer 2020) */
export function swiglu(gate: Tensor2D, up: Tensor2D): Tensor2D {
  return differentiable([gate, up], (save) => {
    save([gate, up]);
    return {
      value: activeKernels().swiglu(gate, up),
      gradFunc: (dy, saved) => {
        const [gate, up] = saved as [Tensor2D, Tensor2D];
        return activeKernels().swigluGrad(dy as Tensor2D, gate, up);
      },
    };
  });
}

/** Each row of x [n,C] to mean 0 and variance 1, times gain [C] plus bias [C] */
export function layerNorm(
  x: Tensor2D,
  affine: { gain: Tensor1D; bias: Tensor1D },
  epsilon: number,
): Tensor2D {
  const { gain, bias } = affine;
  return differentiable([x, gain, bias], (save) => {
    const [value, ...moments] = activeKernels().layerNorm(x, gain, bias, epsilon);
    save([x, gain, ...moments]);
    return {
      value,
      gradFunc: (dy, saved) => {
        const [x, gain, mean, inverseSd] = saved as [Tensor2D, Tensor1D, Tensor1D, Tensor1D];
        return activeKernels().layerNormGrad(dy as Tensor2D, { x, gain, mean, inverseSd });
      },
    };
  });
}

/** Each row of x [n,C] to a mean square of 1, times gain [C] (Zhang & Sennrich 2019) */
export function rmsNorm(x: Tensor2D, gain: Tensor1D, epsilon: number): Tensor2D {
  return differentiable([x, gain], (save) => {
    const [value, inverseRms] = activeKernels().rmsNorm(x, gain, epsilon);
    save([x, gain, inverseRms]);
    return {
      value,
      gradFunc: (dy, saved) => {
        const [x, gain, inverseRms] = saved as [Tensor2D, Tensor1D, Tensor1D];
        return activeKernels().rmsNormGrad(dy as Tensor2D, { x, gain, inverseRms });
      },
    };
  });
}

/** x [n,H·D] with each head turned by the angles of its row's position. Angles are constants. */
export function rope(x: Tensor2D, rotation: Rotation, heads: number): Tensor2D {
  return differentiable([x], (save) => {
    const { cos, sin } = rotation;
    save([cos, sin]);
    return {
      value: activeKernels().rope(x, rotation, { heads, inverse: false }),
      gradFunc: (dy, saved) => {
        const [cos, sin] = saved as [Tensor2D, Tensor2D];
        return [activeKernels().rope(dy as Tensor2D, { cos, sin }, { heads, inverse: true })];
      },
    };
  });
}

/** Causal attention of q [n,H·D] to k and v [n,K·D] → [n,H·D], in sequences of `time` rows */
export function attention(q: Tensor2D, k: Tensor2D, v: Tensor2D, shape: AttentionShape): Tensor2D {
  return differentiable([q, k, v], (save) => {
    const [value, logSum] = activeKernels().attention(q, k, v, shape);
    save([q, k, v, value, logSum]);
    return {
      value,
      gradFunc: (dy, saved) => {
        const [q, k, v, out, logSum] = saved as [Tensor2D, Tensor2D, Tensor2D, Tensor2D, Tensor1D];
        return activeKernels().attentionGrad(dy as Tensor2D, { q, k, v, out, logSum }, shape);
      },
    };
  });
}

/** Rows ids [n] of table [V,C] → [n,C] */
export function gather(table: Tensor2D, ids: Tensor1D): Tensor2D {
  if (isFrozen(table)) return activeKernels().gather(table, ids);
  return differentiable([table], (save) => {
    const rows = table.shape[0];
    save([ids]);
    return {
      value: activeKernels().gather(table, ids),
      gradFunc: (dy, saved) => [activeKernels().scatterAdd(dy as Tensor2D, saved[0] as Tensor1D, rows)],
    };
  });
}

/**
 * Mean cross-entropy in nats of the logits h [n,C] · head [V,C]ᵀ against labels [n], as [1].
 * The gradients are made on the way forwards, where the logits of a few rows are at hand: all of them
 * together never exist.
 */
export function headMeanLoss(h: Tensor2D, head: Tensor2D, labels: Tensor1D): Tensor1D {
  if (isFrozen(head)) return meanLossByFrozen(h, head, labels);
  return differentiable([h, head], (save) => {
    const [value, dh, dhead] = activeKernels().headMeanLoss(h, head, labels);
    save([dh, dhead]);
    return { value, gradFunc: (dy, saved) => saved.map((gradient) => tf.mul(gradient, dy)) };
  });
}

/** Rows of logits that are in memory at once. */
const ROWS_AT_ONCE = 128;

/** The same, with no gradient for the head. */
function meanLossByFrozen(h: Tensor2D, head: Tensor2D, labels: Tensor1D): Tensor1D {
  return differentiable([h], (save) => {
    const n = h.shape[0];
    const parts = Array.from({ length: Math.ceil(n / ROWS_AT_ONCE) }, (_, i) => {
      const [start, rows] = [i * ROWS_AT_ONCE, Math.min(ROWS_AT_ONCE, n - i * ROWS_AT_ONCE)];
      return tf.tidy(() =>
        rowsByFrozen(tf.slice(h, [start, 0], [rows, -1]), head, tf.slice(labels, [start], [rows])),
      );
    });
    const value = tf.tidy(() => tf.mean(tf.concat(parts.map(({ losses }) => losses)), 0, true) as Tensor1D);
    const dh = tf.tidy(() => tf.div(tf.concat(parts.map(({ dh }) => dh)), n) as Tensor2D); // [n,C]
    tf.dispose(parts);
    save([dh]);
    return { value, gradFunc: (dy, saved) => [tf.mul(saved[0] as Tensor, dy)] };
  });
}

/** Losses [rows], and the gradient of their sum by h [rows,C] */
function rowsByFrozen(h: Tensor2D, head: Tensor2D, labels: Tensor1D): { losses: Tensor1D; dh: Tensor2D } {
  const logits = activeKernels().logits(h, head); // [rows,V]
  const logSum = tf.logSumExp(logits, 1, true); // [rows,1]
  const row = tf.range(0, h.shape[0], 1, 'int32');
  const own = tf.stack([row, labels], 1); // [rows,2]
  const ones = tf.scatterND(own, tf.onesLike(row).toFloat(), logits.shape);
  const dlogits = tf.sub(tf.exp(tf.sub(logits, logSum)), ones) as Tensor2D; // softmax − one at the label
  const losses = tf.sub(tf.squeeze(logSum, [1]), tf.gatherND(logits, own)) as Tensor1D;
  return { losses, dh: activeKernels().linear(dlogits, head, null, 'in-out') };
}
