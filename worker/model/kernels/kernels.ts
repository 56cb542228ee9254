import type { Tensor1D, Tensor2D } from '@tensorflow/tfjs';
import * as tf from '@tensorflow/tfjs';
import { genericKernels } from '#worker/model/kernels/generic.ts';

/** Rows of a batch are sequences of `time` tokens one after another: B·T rows. */
export interface AttentionShape {
  readonly time: number;
  readonly heads: number;
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
 * (`ops.ts` pairs each with its gradient). n = B·T rows, C width, F out, H heads, V vocabulary.
 * One set is made of TensorFlow.js operations and runs on every backend; the other is ours, for wasm.
 */
export interface Kernels {
  /** x [n,C] · w [C,F] + b [F] → [n,F] */
  linear(x: Tensor2D, w: Tensor2D, b: Tensor1D): Tensor2D;
  /** dy [n,F] → dx [n,C], dw [C,F], db [F] */
  linearGrad(dy: Tensor2D, x: Tensor2D, w: Tensor2D): [Tensor2D, Tensor2D, Tensor1D];
  gelu(x: Tensor2D): Tensor2D;
  geluGrad(dy: Tensor2D, x: Tensor2D): Tensor2D;
  /** x [n,C] → y [n,C]; mean and 1/sd [n] are kept for the gradient */
  layerNorm(x: Tensor2D, gain: Tensor1D, bias: Tensor1D, epsilon: number): [Tensor2D, Tensor1D, Tensor1D];
  /** dy [n,C] → dx [n,C], dgain [C], dbias [C] */
  layerNormGrad(
    dy: Tensor2D,
    saved: { x: Tensor2D; gain: Tensor1D; mean: Tensor1D; inverseSd: Tensor1D },
  ): [Tensor2D, Tensor1D, Tensor1D];
  /** qkv [n,3C] → out [n,C] and the log of each row's softmax denominator [B·H·T], kept for the gradient */
  attention(qkv: Tensor2D, shape: AttentionShape): [Tensor2D, Tensor1D];
  /** dout [n,C] → dqkv [n,3C] */
  attentionGrad(
    dout: Tensor2D,
    saved: { qkv: Tensor2D; out: Tensor2D; logSum: Tensor1D },
    shape: AttentionShape,
  ): Tensor2D;
  /**
   * One sequence that continues: qkv [t,3C] of the new tokens; `cache` [T,2C] holds keys and values of the
   * `past` tokens before. Returns out [t,C] and the cache with the new rows, which may be the same tensor.
   */
  attentionCached(qkv: Tensor2D, cache: Tensor2D, at: { past: number; heads: number }): [Tensor2D, Tensor2D];
  /** ids [n] → tokens[id] + positions[start + row mod time], [n,C] */
  embed(ids: Tensor1D, tables: EmbeddingTables, at: { time: number; start: number }): Tensor2D;
  /** dy [n,C] → gradients of both tables, sequences starting at position 0 */
  embedGrad(dy: Tensor2D, ids: Tensor1D, tables: EmbeddingTables & { time: number }): [Tensor2D, Tensor2D];
  /** h [n,C] · head [V,C]ᵀ → logits [n,V] */
  logits(h: Tensor2D, head: Tensor2D): Tensor2D;
  /** Cross-entropy of each row's logits h·headᵀ against its label, in nats, [n] */
  headLosses(h: Tensor2D, head: Tensor2D, labels: Tensor1D): Tensor1D;
  /** The mean of `headLosses` as [1], with its gradients dh [n,C] and dhead [V,C] */
  headMeanLoss(h: Tensor2D, head: Tensor2D, labels: Tensor1D): [Tensor1D, Tensor2D, Tensor2D];
  /** Σ x² over all tensors, in float64 where the backend has it */
  sumOfSquares(tensors: readonly tf.Tensor[]): number;
  adamW(state: AdamWState, gradient: tf.Tensor, step: AdamWStep): void;
}

export interface EmbeddingTables {
  /** [V,C] */
  readonly tokens: Tensor2D;
  /** [T,C] */
  readonly positions: Tensor2D;
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
