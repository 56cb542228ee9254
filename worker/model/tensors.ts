import type { Tensor1D } from '@tensorflow/tfjs';
import * as tf from '@tensorflow/tfjs';
import { must } from '#shared/errors/pool-error.ts';
import { type ModelConfig, tensorShapes } from '#shared/weights/model-config.ts';

/** Float32 values to tensors of the model's shapes. The names must be exactly those of the model. */
export function toTensors(
  config: ModelConfig,
  values: ReadonlyMap<string, Float32Array>,
): Map<string, tf.Tensor> {
  for (const name of tensorShapes(config).keys()) {
    must(values.has(name), 'WEIGHTS_NAMES', `${name}: expected, but not given`);
  }
  return someTensors(config, values);
}

/** As `toTensors`, for some of the names. Everything is checked before anything is allocated. */
export function someTensors(
  config: ModelConfig,
  values: ReadonlyMap<string, Float32Array>,
): Map<string, tf.Tensor> {
  const shapes = tensorShapes(config);
  for (const [name, data] of values) checkSize(name, shapes.get(name), data.length);
  return new Map([...values].map(([name, data]) => [name, tf.tensor(data, shapes.get(name), 'float32')]));
}

/** WEIGHTS_NAMES where the model has no tensor of this name, WEIGHTS_SHAPE where it has other than `size` values. */
export function checkSize(
  name: string,
  shape: readonly number[] | undefined,
  size: number,
): asserts shape is number[] {
  must(shape, 'WEIGHTS_NAMES', () => `${name.slice(0, 100)}: not a tensor of this model`);
  const expected = shape.reduce((a, b) => a * b, 1);
  must(
    size === expected,
    'WEIGHTS_SHAPE',
    () => `${name}: expected ${expected} values [${shape}], got ${size}`,
  );
}

/** Token ids as a tensor [n]. */
export function tokenTensor(ids: ArrayLike<number>): Tensor1D {
  return tf.tensor1d(Int32Array.from(ids), 'int32');
}

/** Kernels read memory by token id: an id outside the table must not reach them. BAD_REQUEST where one is. */
export function checkIds(ids: ArrayLike<number>, vocabulary: number): void {
  for (let i = 0; i < ids.length; i++) {
    const id = ids[i]!;
    const ok = Number.isInteger(id) && id >= 0 && id < vocabulary;
    must(ok, 'BAD_REQUEST', () => `token ${i}: expected an id below ${vocabulary}, got ${id}`);
  }
}
