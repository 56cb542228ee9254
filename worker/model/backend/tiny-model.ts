import type { Tensor, Tensor1D, Tensor2D } from '@tensorflow/tfjs';
import * as tf from '@tensorflow/tfjs';
import { type ModelConfig, tensorShapes } from '#shared/weights/model-config.ts';
import { seededUniform } from '#shared/weights/random.ts';
import { activeKernels, type LayerCache } from '#worker/model/kernels/kernels.ts';
import {
  type Attend,
  attendWithin,
  type Lookup,
  meanLoss,
  type Network,
  networkOf,
  positionsWithin,
} from '#worker/model/network.ts';

/** What a model with test weights gives. */
export interface Outcome {
  /** Mean loss of each sequence. */
  readonly lossMicroNats: readonly number[];
  /** Norm of the gradient over all tensors, times 10⁶. */
  readonly gradientMicro: number;
  /** Greedy, from half a sequence on to the end of the context. */
  readonly tokens: readonly number[];
}

/** A model with seeded weights and `sequences` seeded sequences, in the memory of the current backend. */
export class TinyModel {
  readonly #network: Network;
  readonly #tensors: ReadonlyMap<string, Tensor>;
  readonly #ids: Int32Array;
  readonly #lookup: Lookup;

  constructor(config: ModelConfig, sequences: number) {
    this.#network = networkOf(config);
    this.#tensors = seededTensors(config);
    this.#ids = seededIds(sequences * config.context + 1, config.vocabulary);
    this.#lookup = (name) => this.#tensors.get(name)!;
  }

  async outcome(): Promise<Outcome> {
    return {
      lossMicroNats: (await this.losses()).map((nats) => Math.round(nats * 1e6)),
      gradientMicro: Math.round((await this.#gradientNorm()) * 1e6),
      tokens: await this.#greedy(),
    };
  }

  /** Mean loss of each sequence, in nats. */
  async losses(): Promise<number[]> {
    const network = this.#network;
    const time = network.config.context;
    const n = this.#ids.length - 1;
    const perToken = tf.tidy(() => {
      const positions = positionsWithin(n, time);
      const h = this.#hidden(this.#ids.subarray(0, n), positions, attendWithin(network, time));
      return activeKernels().headLosses(h, network.head(this.#lookup), this.#labels()); // [n]
    });
    const values = (await perToken.data()) as Float32Array;
    perToken.dispose();
    return Array.from({ length: n / time }, (_, row) => {
      return values.subarray(row * time, (row + 1) * time).reduce((sum, x) => sum + x, 0) / time;
    });
  }

  dispose(): void {
    tf.dispose([...this.#tensors.values()]);
  }

  /** Of the mean loss, by the names of the tensors. */
  async gradients(): Promise<Map<string, Float32Array>> {
    const values = new Map<string, Float32Array>();
    const names = [...this.#tensors.keys()];
    for (const [i, gradient] of this.#gradients().entries()) {
      values.set(names[i]!, (await gradient.data()) as Float32Array);
      gradient.dispose();
    }
    return values;
  }

  async #gradientNorm(): Promise<number> {
    const gradients = this.#gradients();
    const sum = await activeKernels().sumOfSquares(gradients);
    tf.dispose(gradients);
    return Math.sqrt(sum);
  }

  #gradients(): Tensor[] {
    const names = [...this.#tensors.keys()];
    return tf.tidy(() => {
      const ids = tf.tensor1d(this.#ids.subarray(0, -1), 'int32');
      const batch = { ids, labels: this.#labels(), time: this.#network.config.context };
      return tf.grads((...tensors: Tensor[]) => {
        const given = new Map(names.map((name, i) => [name, tensors[i]!]));
        return meanLoss(this.#network, (name) => given.get(name)!, batch).asScalar();
      })([...this.#tensors.values()]);
    });
  }

  async #greedy(): Promise<number[]> {
    const { layers, context } = this.#network.config;
    const caches = Array.from({ length: layers }, (_, layer) => this.#emptyCache(layer));
    const prompt = this.#ids.subarray(0, context / 2);
    const tokens: number[] = [];
    for (let past = 0; past < context; ) {
      const ids = past === 0 ? prompt : Int32Array.of(tokens.at(-1)!);
      const logits = tf.tidy(() => this.#nextLogits(ids, past, caches)); // [1,V]
      tokens.push(argMax(await logits.data()));
      logits.dispose();
      past += ids.length;
    }
    for (const { keys, values } of caches) tf.dispose([keys, values]);
    return tokens;
  }

  #nextLogits(ids: Int32Array, past: number, caches: readonly LayerCache[]): Tensor2D {
    const network = this.#network;
    const rows = ids.length;
    const attend: Attend = (q, k, v, layer) => {
      const sequence = { layer: caches[layer]!, past, rows };
      return activeKernels().attentionCached(q, k, v, [sequence], network.heads(layer));
    };
    const positions = Int32Array.from({ length: rows }, (_, i) => past + i);
    const last = tf.slice(this.#hidden(ids, positions, attend), [rows - 1, 0], [1, -1]); // [1,C]
    return activeKernels().logits(last, network.head(this.#lookup));
  }

  /** ids [n] → [n,C] after the last norm */
  #hidden(ids: Int32Array, positions: Int32Array, attend: Attend): Tensor2D {
    const network = this.#network;
    const places = network.places(positions);
    let x = network.embed(this.#lookup, tf.tensor1d(ids, 'int32'), places);
    for (let layer = 0; layer < network.config.layers; layer++)
      x = network.block(this.#lookup, x, { layer, places, attend });
    return network.end(this.#lookup, x);
  }

  #labels(): Tensor1D {
    return tf.tensor1d(this.#ids.subarray(1), 'int32');
  }

  /** Of one row, so that it must grow. */
  #emptyCache(layer: number): LayerCache {
    const { config } = this.#network;
    const headDim = config.family === 'gpt2' ? config.width / config.heads : config.headDim;
    const shape: [number, number] = [1, this.#network.heads(layer).kvHeads * headDim];
    return { keys: tf.zeros(shape), values: tf.zeros(shape) };
  }
}

/** Weights large enough that every part of the network matters, the same on every machine. */
function seededTensors(config: ModelConfig): Map<string, Tensor> {
  const uniform = seededUniform(1);
  const tensors = new Map<string, Tensor>();
  for (const [name, shape] of tensorShapes(config)) {
    const isVector = shape.length === 1;
    const centre = isVector && name.endsWith('.weight') ? 1 : 0;
    const width = isVector ? 0.2 : 2 / Math.sqrt(shape[1]!);
    const size = shape.reduce((a, b) => a * b, 1);
    const values = Float32Array.from({ length: size }, () => centre + (uniform() - 0.5) * width);
    tensors.set(name, tf.tensor(values, [...shape]));
  }
  return tensors;
}

function seededIds(count: number, vocabulary: number): Int32Array {
  const uniform = seededUniform(2);
  return Int32Array.from({ length: count }, () => Math.floor(uniform() * vocabulary));
}

function argMax(values: ArrayLike<number>): number {
  let best = 0;
  for (let i = 1; i < values.length; i++) if (values[i]! > values[best]!) best = i;
  return best;
}
