import type { Tensor1D } from '@tensorflow/tfjs';
import * as tf from '@tensorflow/tfjs';
import { toFloat32 } from '#shared/weights/dtype.ts';
import type { ModelConfig } from '#shared/weights/model-config.ts';
import { activeKernels } from '#worker/model/kernels/kernels.ts';
import { attendWithin, meanLoss, networkOf, positionsWithin } from '#worker/model/network.ts';
import { tokenTensor, toTensors } from '#worker/model/tensors.ts';
import type { StoredTensor } from '#worker/model/weight-set.ts';

export type Values = ReadonlyMap<string, Float32Array>;

export interface TokenBatch {
  readonly ids: ArrayLike<number>;
  readonly labels: ArrayLike<number>;
  readonly time: number;
}

export function valuesOf(tensors: readonly StoredTensor[]): Values {
  return new Map(tensors.map(({ name, dtype, bytes }) => [name, toFloat32(dtype, bytes)]));
}

/** Logits [n·V] after every token of one sequence, read in one pass without a cache. */
export async function allLogits(
  config: ModelConfig,
  values: Values,
  ids: readonly number[],
): Promise<Float32Array> {
  const logits = tf.tidy(() => {
    const network = networkOf(config);
    const w = lookup(toTensors(config, values));
    const places = network.places(positionsWithin(ids.length, ids.length));
    const attend = attendWithin(network, ids.length);
    let x = network.embed(w, tokenTensor(ids), places);
    for (let layer = 0; layer < config.layers; layer++) x = network.block(w, x, { layer, places, attend });
    return activeKernels().logits(network.end(w, x), network.head(w));
  });
  const data = (await logits.data()) as Float32Array;
  logits.dispose();
  return data;
}

/** Gradient of the mean loss by every tensor of the model. */
export async function gradientsOf(
  config: ModelConfig,
  values: Values,
  batch: TokenBatch,
): Promise<Map<string, Float32Array>> {
  const names = [...values.keys()];
  const gradients = tf.tidy(() => {
    const tensors = toTensors(config, values);
    const run = tf.grads((...args: tf.Tensor[]) => {
      const w = lookup(new Map(names.map((name, i) => [name, args[i]!])));
      return meanLoss(networkOf(config), w, tokens(batch)).asScalar();
    });
    return run(names.map((name) => tensors.get(name)!));
  });
  const data = await Promise.all(gradients.map((gradient) => gradient.data() as Promise<Float32Array>));
  tf.dispose(gradients);
  return new Map(names.map((name, i) => [name, data[i]!]));
}

function tokens({ ids, labels, time }: TokenBatch): { ids: Tensor1D; labels: Tensor1D; time: number } {
  return { ids: tokenTensor(ids), labels: tokenTensor(labels), time };
}

function lookup(tensors: ReadonlyMap<string, tf.Tensor>): (name: string) => tf.Tensor {
  return (name) => tensors.get(name)!;
}
