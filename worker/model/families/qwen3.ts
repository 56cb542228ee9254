import type { Tensor1D, Tensor2D } from '@tensorflow/tfjs';
import * as tf from '@tensorflow/tfjs';
import type { LlamaConfig } from '#shared/weights/model-config.ts';
import { rmsNorm } from '#worker/model/blocks.ts';
import { mistralNetwork } from '#worker/model/families/mistral.ts';
import type { Network } from '#worker/model/network.ts';

/** Qwen3 (Yang et al. 2025): Llama with each head of queries and keys normed before it is turned, and windows. */
export function qwen3Network(config: LlamaConfig): Network {
  const { headDim, normEpsilon } = config;
  return mistralNetwork(config, (w, x, { layer, name }) => {
    const gain = w(`model.layers.${layer}.self_attn.${name}_norm.weight`) as Tensor1D; // [D]
    const byHead = tf.reshape(x, [-1, headDim]) as Tensor2D; // [n·H,D]
    return tf.reshape(rmsNorm(byHead, gain, normEpsilon), x.shape);
  });
}
