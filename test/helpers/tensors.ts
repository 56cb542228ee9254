import assert from 'node:assert/strict';
import * as tf from '@tensorflow/tfjs';
import { type ModelConfig, parseModelConfig, tensorShapes } from '#shared/weights/model-config.ts';
import { seededUniform } from '#shared/weights/random.ts';

/** Seeded values in −scale…scale. */
export function randomValues(count: number, seed: number, scale = 1): Float32Array {
  const uniform = seededUniform(seed);
  return Float32Array.from({ length: count }, () => (2 * uniform() - 1) * scale);
}

export function randomIds(count: number, seed: number, vocabulary: number): Int32Array {
  const uniform = seededUniform(seed);
  return Int32Array.from({ length: count }, () => Math.floor(uniform() * vocabulary));
}

/** A GPT-2 config of small odd sizes; every width is off the kernels' tiles. */
export function smallConfig(changes: Record<string, unknown> = {}): ModelConfig {
  return parseModelConfig({
    model_type: 'gpt2',
    n_layer: 2,
    n_head: 3,
    n_embd: 18,
    n_positions: 12,
    vocab_size: 37,
    n_inner: 50,
    activation_function: 'gelu_new',
    layer_norm_epsilon: 1e-5,
    ...changes,
  });
}

/** Weights large enough that every part of the network matters, unlike fresh ones. */
export function roughWeights(config: ModelConfig, seed: number): Map<string, Float32Array> {
  return new Map(
    [...tensorShapes(config)].map(([name, shape], i) => {
      const size = shape.reduce((a, b) => a * b, 1);
      const values = randomValues(size, seed * 1000 + i, 0.3);
      const isGain = shape.length === 1 && name.endsWith('.weight');
      return [name, isGain ? values.map((x) => 1 + x) : values];
    }),
  );
}

/** Runs `work` with another backend current, and comes back. */
export async function onBackend<T>(name: string, work: () => T | Promise<T>): Promise<T> {
  const before = tf.getBackend();
  await tf.setBackend(name);
  try {
    return await work();
  } finally {
    await tf.setBackend(before);
  }
}

/** The largest difference stays within `tolerance` of the largest expected value. */
export function assertClose(
  actual: ArrayLike<number>,
  expected: ArrayLike<number>,
  { what, tolerance = 1e-5 }: { what: string; tolerance?: number },
): void {
  assert.equal(actual.length, expected.length, `${what}: length`);
  let size = 0;
  let worst = 0;
  for (let i = 0; i < expected.length; i++) {
    const difference = Math.abs(actual[i]! - expected[i]!);
    assert.ok(Number.isFinite(difference), `${what}[${i}]: expected ${expected[i]}, got ${actual[i]}`);
    size = Math.max(size, Math.abs(expected[i]!));
    worst = Math.max(worst, difference);
  }
  assert.ok(worst <= tolerance * Math.max(size, 1e-6), `${what}: off by ${worst} where values reach ${size}`);
}
