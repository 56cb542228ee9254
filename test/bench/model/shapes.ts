import * as tf from '@tensorflow/tfjs';
import {
  type ModelConfig,
  parameterCount,
  parseModelConfig,
  tensorShapes,
} from '#shared/weights/model-config.ts';
import { seededUniform } from '#shared/weights/random.ts';
import { randomIds } from '#test/helpers/tensors.ts';
import type { StoredTensor } from '#worker/model/weight-set.ts';

export interface GptShape {
  readonly layers: number;
  readonly width: number;
  readonly heads: number;
  readonly context: number;
  readonly vocabulary: number;
}

/** 5.1, 12.3 and 124 million parameters; the last is GPT-2 itself. */
export const GPT_5M: GptShape = { layers: 6, width: 256, heads: 8, context: 128, vocabulary: 1024 };
export const GPT_12M: GptShape = { layers: 6, width: 384, heads: 6, context: 256, vocabulary: 4096 };
export const GPT_124M: GptShape = { layers: 12, width: 768, heads: 12, context: 1024, vocabulary: 50257 };

export function gptConfig({ layers, width, heads, context, vocabulary }: GptShape): ModelConfig {
  return parseModelConfig({
    model_type: 'gpt2',
    activation_function: 'gelu_new',
    n_layer: layers,
    n_head: heads,
    n_embd: width,
    n_positions: context,
    vocab_size: vocabulary,
  });
}

/** The shape of SmolLM2-135M: norms by root mean square, rotary positions, three heads to a key head, SwiGLU. */
export const LLAMA_135M: ModelConfig = parseModelConfig({
  model_type: 'llama',
  num_hidden_layers: 30,
  hidden_size: 576,
  num_attention_heads: 9,
  num_key_value_heads: 3,
  intermediate_size: 1536,
  max_position_embeddings: 2048,
  vocab_size: 49152,
  tie_word_embeddings: true,
});

export function millions(config: ModelConfig): string {
  return `${(parameterCount(config) / 1e6).toPrecision(3)} M parameters`;
}

/** Not a divisor of anything, so that rows of a matrix differ. */
const PATTERN = 65_521;

/** Weights of the size of fresh ones, made as fast as memory is written, one tensor at a time. */
export function* benchWeights(config: ModelConfig): Generator<StoredTensor> {
  const uniform = seededUniform(1);
  const pattern = Float32Array.from({ length: PATTERN }, () => (uniform() - 0.5) * 0.07);
  for (const [name, shape] of tensorShapes(config)) {
    const values = new Float32Array(shape.reduce((a, b) => a * b, 1));
    for (let i = 0; i < values.length; i += PATTERN) {
      values.set(pattern.subarray(0, Math.min(PATTERN, values.length - i)), i);
    }
    if (shape.length === 1 && name.endsWith('weight')) values.fill(1);
    yield { name, dtype: 'F32', bytes: new Uint8Array(values.buffer) };
  }
}

/** Token ids and labels of some windows. */
export function benchBatch(config: ModelConfig, windows: number, time: number) {
  const count = windows * time;
  return {
    ids: randomIds(count, 1, config.vocabulary),
    labels: randomIds(count, 2, config.vocabulary),
    time,
  };
}

/** Seconds that `work` takes. */
export async function seconds(work: () => unknown): Promise<number> {
  const began = performance.now();
  await work();
  return (performance.now() - began) / 1000;
}

const MATRIX = 512;

/** What the 2-D product of the backend itself reaches: the anchor of all that computes. */
export const MATMUL = `tf.matMul ${MATRIX}³`;

/** GFLOP/s of `MATMUL`, the best of a few. */
export async function matmulGflops(): Promise<number> {
  const [a, b] = [tf.ones([MATRIX, MATRIX]), tf.ones([MATRIX, MATRIX])] as [tf.Tensor2D, tf.Tensor2D];
  let best = 0;
  for (let i = 0; i < 8; i++) {
    const took = await seconds(async () => {
      const product = tf.matMul(a, b);
      // One value is read, so that a backend that works ahead has ended.
      await tf.tidy(() => tf.slice(product, [0, 0], [1, 1])).data();
      product.dispose();
    });
    best = Math.max(best, (2 * MATRIX ** 3) / took / 1e9);
  }
  tf.dispose([a, b]);
  return best;
}
