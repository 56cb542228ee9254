import type { Tensor1D, Tensor2D } from '@tensorflow/tfjs';
import * as tf from '@tensorflow/tfjs';
import type { ModelConfig } from '#shared/weights/model-config.ts';
import { attention, headMeanLoss } from '#worker/model/blocks.ts';
import { gpt2Network } from '#worker/model/families/gpt2.ts';
import { llamaNetwork } from '#worker/model/families/llama.ts';
import { mistralNetwork } from '#worker/model/families/mistral.ts';
import { qwen2Network } from '#worker/model/families/qwen2.ts';
import { qwen3Network } from '#worker/model/families/qwen3.ts';
import type { Heads, Rotation } from '#worker/model/kernels/kernels.ts';

/*
 * What every family is to those who run it: an embedding, blocks one after another, an end and a head, all of
 * them differentiable. n rows are tokens of one or more sequences; C width, V vocabulary.
 */

/** The tensors of a model by name. */
export type Lookup = (name: string) => tf.Tensor;

/** How the rows of a layer look at each other: whole sequences, or sequences that go on. */
export type Attend = (q: Tensor2D, k: Tensor2D, v: Tensor2D, layer: number) => Tensor2D;

/** Where the rows of a pass stand in their sequences: positions [n] to look up, or angles to turn by. */
export interface Places {
  readonly positions: Tensor1D | null;
  readonly rotation: Rotation | null;
}

export interface Network {
  readonly config: ModelConfig;
  /** Names of the tensors that each part looks up. The token table is the first of the embedding's. */
  readonly names: {
    readonly embed: readonly string[];
    block(layer: number): readonly string[];
    readonly end: readonly string[];
    readonly head: readonly string[];
  };
  /** How the heads of a layer attend. */
  heads(layer: number): Heads;
  /** Tensors for the positions of n rows: made once a pass, used in every layer. */
  places(positions: Int32Array): Places;
  /** ids [n] → [n,C] */
  embed(w: Lookup, ids: Tensor1D, places: Places): Tensor2D;
  /** x [n,C] → [n,C] */
  block(w: Lookup, x: Tensor2D, at: { layer: number; places: Places; attend: Attend }): Tensor2D;
  /** The norm after the last block: x [n,C] → [n,C] */
  end(w: Lookup, x: Tensor2D): Tensor2D;
  /** The matrix [V,C] whose products with hidden states are the logits. */
  head(w: Lookup): Tensor2D;
}

/** The network that a config describes; it holds no weights and no tensors. */
export function networkOf(config: ModelConfig): Network {
  switch (config.family) {
    case 'gpt2':
      return gpt2Network(config);
    case 'llama':
      return llamaNetwork(config);
    case 'mistral':
      return mistralNetwork(config);
    case 'qwen2':
      return qwen2Network(config);
    case 'qwen3':
      return qwen3Network(config);
  }
}

/** Attention within sequences of `time` rows. Differentiable. */
export function attendWithin(network: Network, time: number): Attend {
  return (q, k, v, layer) => attention(q, k, v, { time, ...network.heads(layer) });
}

/** Positions of n rows in sequences of `time`: 0, 1, … again and again. */
export function positionsWithin(n: number, time: number): Int32Array {
  return Int32Array.from({ length: n }, (_, row) => row % time);
}

/**
 * Mean cross-entropy of labels [n] after ids [n] in sequences of `time`, in nats, as [1]. Differentiable in what
 * `w` looks up. Everything is computed in one go; for training.
 */
export function meanLoss(
  network: Network,
  w: Lookup,
  batch: { ids: Tensor1D; labels: Tensor1D; time: number },
): Tensor1D {
  const { ids, labels, time } = batch;
  const places = network.places(positionsWithin(ids.shape[0], time));
  const attend = attendWithin(network, time);
  let x = tf.tidy(() => network.embed(w, ids, places)); // [n,C], the residual stream
  for (let layer = 0; layer < network.config.layers; layer++) {
    // A scope a layer: without it the tensors between would all live until the end of the network.
    const entering = x;
    x = tf.tidy(() => network.block(w, entering, { layer, places, attend }));
  }
  return headMeanLoss(network.end(w, x), network.head(w), labels);
}
