import type { Tensor1D, Tensor2D } from '@tensorflow/tfjs';
import * as tf from '@tensorflow/tfjs';
import { must } from '#shared/errors/pool-error.ts';
import { DTYPE_BYTES } from '#shared/weights/dtype.ts';
import { type ModelConfig, tensorShapes } from '#shared/weights/model-config.ts';
import { activeKernels } from '#worker/model/kernels/kernels.ts';
import { loadTensor } from '#worker/model/load-tensor.ts';
import type { Lookup } from '#worker/model/network.ts';
import { type AnyTensor, closeTensor, type TensorSource } from '#worker/model/stored-tensor.ts';
import { checkSize, tokenTensor } from '#worker/model/tensors.ts';

export { fromValues, type StoredTensor, type TensorSource } from '#worker/model/stored-tensor.ts';

/** The weights of a model, wherever they lie while they are not in use. */
export interface WeightSet {
  /** Runs `compute` with the named tensors in the backend; `ahead` is what will probably be wanted next. */
  use<T>(names: readonly string[], compute: (w: Lookup) => T, ahead?: readonly string[]): Promise<T>;
  /** Rows `ids` [n] of a matrix [V,C] → [n,C] */
  rows(name: string, ids: ArrayLike<number>): Promise<Tensor2D>;
  /** Runs `compute` with all rows of a matrix, in blocks of as many as there is room for, from the first row on. */
  useBlocks(name: string, compute: (block: Tensor2D, firstRow: number) => void): Promise<void>;
  /**
   * Replaces tensors, one after another. Where one is refused or does not come, those before it are replaced, and
   * that one may be missing until it is swapped in again.
   */
  swap(changed: TensorSource): Promise<void>;
  /** Frees the tensors. Safe to call twice. */
  dispose(): void;
}

/** All weights in the memory of the backend. */
export class ResidentWeights implements WeightSet {
  readonly #shapes: ReadonlyMap<string, number[]>;
  readonly #tensors = new Map<string, tf.Tensor>();

  private constructor(config: ModelConfig) {
    this.#shapes = tensorShapes(config);
  }

  /** WEIGHTS_NAMES or WEIGHTS_SHAPE where the tensors are not the model's. */
  static async load(config: ModelConfig, source: TensorSource): Promise<ResidentWeights> {
    const weights = new ResidentWeights(config);
    try {
      await weights.swap(source);
      checkComplete(config, weights.#tensors);
      return weights;
    } catch (error) {
      weights.dispose();
      throw error;
    }
  }

  async use<T>(_names: readonly string[], compute: (w: Lookup) => T): Promise<T> {
    return compute((name) => this.#tensor(name));
  }

  async rows(name: string, ids: ArrayLike<number>): Promise<Tensor2D> {
    return tf.tidy(() =>
      activeKernels().gather(this.#tensor(name) as Tensor2D, tokenTensor(ids) as Tensor1D),
    );
  }

  async useBlocks(name: string, compute: (block: Tensor2D, firstRow: number) => void): Promise<void> {
    compute(this.#tensor(name) as Tensor2D, 0);
  }

  async swap(changed: TensorSource): Promise<void> {
    for await (const stored of checked(this.#shapes, changed)) {
      const { name } = stored;
      // First the old one goes, so that the two are never there together.
      this.#tensors.get(name)?.dispose();
      this.#tensors.delete(name);
      this.#tensors.set(name, await loadTensor(stored, this.#shapes.get(name) as number[]));
      await closeTensor(stored);
    }
  }

  dispose(): void {
    for (const tensor of this.#tensors.values()) tensor.dispose();
    this.#tensors.clear();
  }

  #tensor(name: string): tf.Tensor {
    const tensor = this.#tensors.get(name);
    must(tensor, 'INTERNAL', () => `${name}: not among the weights`);
    return tensor;
  }
}

/** WEIGHTS_NAMES where a tensor of the model is not among `given`. */
export function checkComplete(config: ModelConfig, given: ReadonlyMap<string, unknown>): void {
  const missing = [...tensorShapes(config).keys()].find((name) => !given.has(name));
  must(missing === undefined, 'WEIGHTS_NAMES', () => `${missing}: expected, but not given`);
}

/** The tensors of a source that are the model's. The one at which it stops, for whatever reason, is closed. */
export async function* checked(
  shapes: ReadonlyMap<string, number[]>,
  source: TensorSource,
): AsyncGenerator<AnyTensor> {
  const seen = new Set<string>();
  for await (const stored of source) {
    const { name, dtype, bytes } = stored;
    let taken = false;
    try {
      checkSize(name, shapes.get(name), bytes.length / DTYPE_BYTES[dtype]);
      must(!seen.has(name), 'WEIGHTS_NAMES', () => `${name}: expected once, given twice`);
      seen.add(name);
      yield stored;
      taken = true;
    } finally {
      if (!taken) await closeTensor(stored);
    }
  }
}
