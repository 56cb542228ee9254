import * as tf from '@tensorflow/tfjs';
import { must } from '#shared/errors/pool-error.ts';
import { DTYPE_BYTES, type Dtype, toFloat32 } from '#shared/weights/dtype.ts';
import { type ModelConfig, tensorShapes } from '#shared/weights/model-config.ts';
import type { Lookup } from '#worker/model/network.ts';
import { checkSize } from '#worker/model/tensors.ts';

/** A tensor as it is stored: little-endian values of its dtype. */
export interface StoredTensor {
  readonly name: string;
  readonly dtype: Dtype;
  readonly bytes: Uint8Array;
}

/** Tensors that come one after another, so that no more than one need be in memory twice. */
export type TensorSource = Iterable<StoredTensor> | AsyncIterable<StoredTensor>;

/** The weights of a model, wherever they lie while they are not in use. */
export interface WeightSet {
  /** Runs `compute` with the named tensors in the backend; `ahead` is what will probably be wanted next. */
  use<T>(names: readonly string[], compute: (w: Lookup) => T, ahead?: readonly string[]): Promise<T>;
  /** Replaces some tensors: all of them, or none where one is refused or does not come. */
  swap(changed: TensorSource): Promise<void>;
  /** Frees the tensors. Safe to call twice. */
  dispose(): void;
}

/** All weights in the memory of the backend. */
export class ResidentWeights implements WeightSet {
  readonly #config: ModelConfig;
  #tensors: Map<string, tf.Tensor>;

  private constructor(config: ModelConfig, tensors: Map<string, tf.Tensor>) {
    this.#config = config;
    this.#tensors = tensors;
  }

  /** WEIGHTS_NAMES or WEIGHTS_SHAPE where the tensors are not the model's. */
  static async load(config: ModelConfig, source: TensorSource): Promise<ResidentWeights> {
    const tensors = await read(config, source);
    const missing = [...tensorShapes(config).keys()].find((name) => !tensors.has(name));
    if (missing !== undefined) tf.dispose([...tensors.values()]);
    must(missing === undefined, 'WEIGHTS_NAMES', () => `${missing}: expected, but not given`);
    return new ResidentWeights(config, tensors);
  }

  async use<T>(_names: readonly string[], compute: (w: Lookup) => T): Promise<T> {
    return compute((name) => {
      const tensor = this.#tensors.get(name);
      must(tensor, 'INTERNAL', () => `${name}: not among the weights`);
      return tensor;
    });
  }

  async swap(changed: TensorSource): Promise<void> {
    for (const [name, tensor] of await read(this.#config, changed)) {
      this.#tensors.get(name)?.dispose();
      this.#tensors.set(name, tensor);
    }
  }

  dispose(): void {
    for (const tensor of this.#tensors.values()) tensor.dispose();
    this.#tensors = new Map();
  }
}

/** Values of a model as a source. */
export function* fromValues(values: ReadonlyMap<string, Float32Array>): Generator<StoredTensor> {
  for (const [name, { buffer, byteOffset, byteLength }] of values) {
    yield { name, dtype: 'F32', bytes: new Uint8Array(buffer, byteOffset, byteLength) };
  }
}

/** Some of the model's tensors. Where one is refused, or the source fails, what was read is freed. */
async function read(config: ModelConfig, source: TensorSource): Promise<Map<string, tf.Tensor>> {
  const shapes = tensorShapes(config);
  const tensors = new Map<string, tf.Tensor>();
  try {
    for await (const { name, dtype, bytes } of source) {
      const shape = shapes.get(name);
      checkSize(name, shape, bytes.length / DTYPE_BYTES[dtype]);
      must(!tensors.has(name), 'WEIGHTS_NAMES', () => `${name}: expected once, given twice`);
      tensors.set(name, tf.tensor(toFloat32(dtype, bytes), shape, 'float32'));
    }
  } catch (error) {
    tf.dispose([...tensors.values()]);
    throw error;
  }
  return tensors;
}
