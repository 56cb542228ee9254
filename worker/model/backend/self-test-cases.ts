import type { ModelConfig } from '#shared/weights/model-config.ts';
import type { Outcome } from '#worker/model/backend/tiny-model.ts';

export interface Case {
  readonly config: ModelConfig;
  readonly expected: Outcome;
}

/**
 * Models whose outcome with the weights of TinyModel is known (from transformers, test/vectors/make-self-test.py):
 * GPT-2, and of Llama's relatives the one with the most parts. Sizes are off every kernel's tiles.
 */
export const TESTED: readonly Case[] = [
  {
    config: {
      family: 'gpt2',
      layers: 2,
      heads: 3,
      width: 18,
      inner: 50,
      context: 12,
      vocabulary: 67,
      normEpsilon: 1e-5,
      tiedHead: true,
    },
    expected: {
      lossMicroNats: [4_560_919, 4_465_032],
      gradientMicro: 2_386_354,
      tokens: [56, 56, 56, 56, 13, 13, 13],
    },
  },
  {
    config: {
      family: 'qwen3',
      layers: 2,
      heads: 6,
      kvHeads: 2,
      headDim: 10,
      width: 22,
      inner: 46,
      context: 12,
      vocabulary: 67,
      normEpsilon: 1e-6,
      tiedHead: false,
      rope: { theta: 10_000, scaling: { kind: 'none' } },
      biases: { qkv: false, output: false, mlp: false },
      windows: [null, null],
      queryKeyNorm: true,
    },
    expected: {
      lossMicroNats: [4_390_544, 4_250_711],
      gradientMicro: 2_846_571,
      tokens: [17, 45, 8, 8, 8, 17, 17],
    },
  },
];

/** 3 million parameters: enough work for the rate of the matrix products to show. */
export const MEASURED: ModelConfig = {
  family: 'gpt2',
  layers: 3,
  heads: 4,
  width: 256,
  inner: 1024,
  context: 128,
  vocabulary: 2048,
  normEpsilon: 1e-5,
  tiedHead: true,
};
