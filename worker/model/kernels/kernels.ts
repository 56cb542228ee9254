import type { Tensor1D, Tensor2D } from '@tensorflow/tfjs';
import * as tf from '@tensorflow/tfjs';
import { genericKernels } from '#worker/model/kernels/generic.ts';

/** How the two sides of a weight matrix are stored: GPT-2's [in, out], or [out, in] as of everybody else. */
export type Layout = 'in-out' | 'out-in';

/** Heads of queries and of keys and values; `window`: a row sees itself and window − 1 before, null: all before. */
export interface Heads {
  readonly heads: number;
  readonly kvHeads: number;
  readonly window: number | null;
}

/** Rows of a batch are sequences of `time` tokens one after another: B·T rows. */
export interface AttentionShape extends Heads {
  readonly time: number;
}

/** Keys and values of one sequence in one layer, [capacity, K·D] each. A kernel may put others in their place. */
export interface LayerCache {
  keys: Tensor2D;
  values: Tensor2D;
}

/** The next `rows` rows of a sequence of which `past` are cached. */
export interface CachedRows {
  readonly layer: LayerCache;
  readonly past: number;
  readonly rows: number;
}

/** Cosine and sine of the angles by which each row's position turns each pair, [n, D/2] each. */
export interface Rotation {
  readonly cos: Tensor2D;
  readonly sin: Tensor2D;
}

/** What AdamW needs for one step of one tensor (Loshchilov & Hutter 2019); corrections are 1 − βᵗ. */
export interface AdamWStep {
  readonly learningRate: number;
  readonly beta1: number;
  readonly beta2: number;
  readonly epsilon: number;
  readonly weightDecay: number;
  readonly correction1: number;
  readonly correction2: number;
  /** Factor of the gradient: the clipping by the global norm. */
  readonly gradientScale: number;
}

/** Weight and moments of one tensor. A kernel may replace the tensors; the caller owns what is in here. */
export interface AdamWState {
  weight: tf.Tensor;
  moment1: tf.Tensor;
  moment2: tf.Tensor;
}

/**
 * The pieces that cost time, as plain functions from tensors to tensors, without gradients of their own
 * (`blocks.ts` pairs each with its gradient). n rows, C width, F out, H heads, K key/value heads, D values a head,
 * V vocabulary. One set is made of TensorFlow.js operations and runs on every backend; the others are ours, each
 * for one backend.
 */
export interface Kernels {
  /** x [n,C] · w + b [F] → [n,F]; w is [C,F] or [F,C] by its layout */
  linear(x: Tensor2D, w: Tensor2D, b: Tensor1D | null, layout: Layout): Tensor2D;
  /** dy [n,F] → dx [n,C], dw as w, db [F] where there is a bias */
  linearGrad(
    dy: Tensor2D,
    x: Tensor2D,
    w: Tensor2D,
    how: { layout: Layout; bias: boolean },
  ): [Tensor2D, Tensor2D, Tensor1D | null];
  gelu(x: Tensor2D): Tensor2D;
  geluGrad(dy: Tensor2D, x: Tensor2D): Tensor2D;
  /** silu(gate)·up, elementwise, with silu(x) = x·σ(x) */
  swiglu(gate: Tensor2D, up: Tensor2D): Tensor2D;
  /** → dgate, dup */
  swigluGrad(dy: Tensor2D, gate: Tensor2D, up: Tensor2D): [Tensor2D, Tensor2D];
  /** x [n,C] → y [n,C]; mean and 1/sd [n] are kept for the gradient */
  layerNorm(x: Tensor2D, gain: Tensor1D, bias: Tensor1D, epsilon: number): [Tensor2D, Tensor1D, Tensor1D];
  /** dy [n,C] → dx [n,C], dgain [C], dbias [C] */
  layerNormGrad(
    dy: Tensor2D,
    saved: { x: Tensor2D; gain: Tensor1D; mean: Tensor1D; inverseSd: Tensor1D },
  ): [Tensor2D, Tensor1D, Tensor1D];
  /** x [n,C] → x/√(mean(x²) + epsilon)·gain; 1/√… [n] is kept for the gradient */
  rmsNorm(x: Tensor2D, gain: Tensor1D, epsilon: number): [Tensor2D, Tensor1D];
  /** dy [n,C] → dx [n,C], dgain [C] */
  rmsNormGrad(
    dy: Tensor2D,
    saved: { x: Tensor2D; gain: Tensor1D; inverseRms: Tensor1D },
  ): [Tensor2D, Tensor1D];
  /** Turns value i of each head of x [n,H·D] against value i + D/2, by the angle of its row; `inverse` turns back. */
  rope(x: Tensor2D, rotation: Rotation, how: { heads: number; inverse: boolean }): Tensor2D;
  /**
   * Causal attention of q [n,H·D] to k and v [n,K·D], head h to key head ⌊h·K/H⌋ → out [n,H·D] and the log of each
   * row's softmax denominator [B·H·T], kept for the gradient.
   */
  attention(q: Tensor2D, k: Tensor2D, v: Tensor2D, shape: AttentionShape): [Tensor2D, Tensor1D];
  /** dout [n,H·D] → dq, dk, dv */
  attentionGrad(
    dout: Tensor2D,
    saved: { q: Tensor2D; k: Tensor2D; v: Tensor2D; out: Tensor2D; logSum: Tensor1D },
    shape: AttentionShape,
  ): [Tensor2D, Tensor2D, Tensor2D];
  /**
   * Rows of several sequences that go on, one sequence after another. Puts k and v [n,K·D] behind what each cache
   * holds, making it larger where it is full, and attends to all of it → out [n,H·D].
   */
  attentionCached(
    q: Tensor2D,
    k: Tensor2D,
    v: Tensor2D,
    sequences: readonly CachedRows[],
    shape: Heads,
  ): Tensor2D;
  /** Rows ids [n] of table [V,C] → [n,C] */
  gather(table: Tensor2D, ids: Tensor1D): Tensor2D;
  /** The gradient of `gather`: dy [n,C] added up in rows ids [n] of a table [rows,C] of zeros */
  scatterAdd(dy: Tensor2D, ids: Tensor1D, rows: number): Tensor2D;
  /** h [n,C] · head [V,C]ᵀ → logits [n,V] */
  logits(h: Tensor2D, head: Tensor2D): Tensor2D;
  /** Cross-entropy of each row's logits h·headᵀ against its label, in nats, [n] */
  headLosses(h: Tensor2D, head: Tensor2D, labels: Tensor1D): Tensor1D;
  /** The mean of `headLosses` as [1], with its gradients dh [n,C] and dhead [V,C] */
  headMeanLoss(h: Tensor2D, head: Tensor2D, labels: Tensor1D): [Tensor1D, Tensor2D, Tensor2D];
  /** Σ x² over all tensors, in float64 where the backend has it */
  sumOfSquares(tensors: readonly tf.Tensor[]): Promise<number>;
  adamW(state: AdamWState, gradient: tf.Tensor, step: AdamWStep): void;
}

const byBackend = new Map<string, Kernels>();

/** Makes `kernels` the set that is used while the backend of this name is current. */
export function useKernels(backend: string, kernels: Kernels): void {
  byBackend.set(backend, kernels);
}

/** The kernels for the current backend. */
export function activeKernels(): Kernels {
  return byBackend.get(tf.getBackend()) ?? genericKernels;
}
