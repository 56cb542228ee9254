import type { Tensor2D } from '@tensorflow/tfjs';
import * as tf from '@tensorflow/tfjs';
import { must } from '#shared/errors/pool-error.ts';
import type { ModelConfig } from '#shared/weights/model-config.ts';
import { activeKernels, type LayerCache } from '#worker/model/kernels/kernels.ts';
import {
  type Attend,
  attendWithin,
  type Lookup,
  type Network,
  networkOf,
  positionsWithin,
} from '#worker/model/network.ts';
import { checkIds, tokenTensor } from '#worker/model/tensors.ts';
import { ResidentWeights, type TensorSource, type WeightSet } from '#worker/model/weight-set.ts';

/** A text that goes on: keys and values of its tokens so far, layer by layer. */
export interface Sequence {
  readonly layers: LayerCache[];
  length: number;
}

/** The next tokens of one sequence. */
export interface Part {
  readonly sequence: Sequence;
  readonly ids: ArrayLike<number>;
}

/** One pass of n rows through the network. */
interface Pass<T extends tf.Tensor> {
  readonly ids: ArrayLike<number>;
  readonly positions: Int32Array;
  readonly attend: Attend;
  /** What is wanted of the rows x [n,C] that leave the last block. */
  readonly finish: (w: Lookup, x: Tensor2D) => T;
}

/** Room of a fresh cache in tokens: a short answer fits, and a long one need not be paid for before it is there. */
const FIRST_ROOM = 64;

/** A model for evaluation and generation. Layers are computed one by one, so that their weights may come and go. */
export class Model {
  readonly config: ModelConfig;
  readonly #network: Network;
  readonly #weights: WeightSet;

  constructor(config: ModelConfig, weights: WeightSet) {
    this.config = config;
    this.#network = networkOf(config);
    this.#weights = weights;
  }

  /**
   * Copies all tensors to the memory of the current backend. Throws WEIGHTS_NAMES or WEIGHTS_SHAPE where they are
   * not the model's.
   */
  static async load(config: ModelConfig, source: TensorSource): Promise<Model> {
    return new Model(config, await ResidentWeights.load(config, source));
  }

  /** Replaces some tensors: all of them, or none where one does not fit. */
  async swap(changed: TensorSource): Promise<void> {
    await this.#weights.swap(changed);
  }

  /**
   * Cross-entropy in nats of each label after its token: ids and labels [B·T] in sequences of `time`.
   * Bad weights give NaN; ids outside the vocabulary or a `time` over the context throw BAD_REQUEST.
   */
  async losses(
    batch: { ids: ArrayLike<number>; labels: ArrayLike<number> },
    time: number,
  ): Promise<Float32Array> {
    const { ids, labels } = batch;
    this.#checkTime(time);
    checkIds(ids, this.config.vocabulary);
    checkIds(labels, this.config.vocabulary);
    const network = this.#network;
    return await this.#run({
      ids,
      positions: positionsWithin(ids.length, time),
      attend: attendWithin(network, time),
      finish: (w, x) => activeKernels().headLosses(network.end(w, x), network.head(w), tokenTensor(labels)), // [n]
    });
  }

  /** An empty sequence; give it back to `disposeSequence`. */
  newSequence(): Sequence {
    const { config } = this;
    const [D, K] =
      config.family === 'gpt2'
        ? [config.width / config.heads, config.heads]
        : [config.headDim, config.kvHeads];
    const room = Math.min(FIRST_ROOM, config.context);
    const layers = Array.from({ length: config.layers }, () => ({
      keys: tf.zeros([room, K * D]) as Tensor2D,
      values: tf.zeros([room, K * D]) as Tensor2D,
    }));
    return { layers, length: 0 };
  }

  disposeSequence(sequence: Sequence): void {
    for (const { keys, values } of sequence.layers) tf.dispose([keys, values]);
    sequence.layers.length = 0;
    sequence.length = 0;
  }

  /**
   * Appends each part's ids to its sequence, and returns for each the logits [V] after the last of them. All
   * parts go through the network together, long ones and single tokens alike. BAD_REQUEST where an id is none, a
   * sequence would outgrow the context or comes twice; then, and after any failure, all are as long as before.
   */
  async next(parts: readonly Part[]): Promise<Float32Array[]> {
    const { vocabulary } = this.config;
    if (parts.length === 0) return [];
    for (const { sequence, ids } of parts) {
      must(ids.length > 0, 'BAD_REQUEST', 'tokens: expected one or more, got none');
      this.#checkTime(sequence.length + ids.length);
      checkIds(ids, vocabulary);
    }
    must(
      new Set(parts.map(({ sequence }) => sequence)).size === parts.length,
      'BAD_REQUEST',
      'sequences: expected each once',
    );
    const logits = await this.#run(this.#passOf(parts)); // [parts,V]
    for (const { sequence, ids } of parts) sequence.length += ids.length;
    return parts.map((_, i) => logits.subarray(i * vocabulary, (i + 1) * vocabulary));
  }

  /** Frees the weights. Safe to call twice. */
  dispose(): void {
    this.#weights.dispose();
  }

  #passOf(parts: readonly Part[]): Pass<Tensor2D> {
    const network = this.#network;
    const ids = parts.flatMap((part) => Array.from(part.ids));
    const positions = parts.flatMap(({ sequence, ids }) => Array.from(ids, (_, i) => sequence.length + i));
    const rows = parts.map(({ sequence, ids }) => ({ past: sequence.length, rows: ids.length }));
    let end = -1;
    const lastRows = rows.map(({ rows }) => (end += rows));
    return {
      ids,
      positions: Int32Array.from(positions),
      attend: (q, k, v, layer) => {
        const sequences = parts.map(({ sequence }, i) => ({ layer: sequence.layers[layer]!, ...rows[i]! }));
        return activeKernels().attentionCached(q, k, v, sequences, network.heads(layer));
      },
      finish: (w, x) => {
        const last = tf.gather(x, tokenTensor(lastRows)); // [parts,C]
        return activeKernels().logits(network.end(w, last), network.head(w)); // [parts,V]
      },
    };
  }

  async #run<T extends tf.Tensor>({ ids, positions, attend, finish }: Pass<T>): Promise<Float32Array> {
    const network = this.#network;
    const { names } = network;
    const last = [...names.end, ...names.head];
    const after = (layer: number) => (layer < this.config.layers ? names.block(layer) : last);
    const places = network.places(positions);
    let x: Tensor2D | undefined; // [n,C], the residual stream
    let result: T | undefined;
    try {
      const start = (w: Lookup) => tf.tidy(() => network.embed(w, tokenTensor(ids), places));
      x = await this.#weights.use(names.embed, start, after(0));
      for (let layer = 0; layer < this.config.layers; layer++) {
        const entering: Tensor2D = x;
        const block = (w: Lookup) => tf.tidy(() => network.block(w, entering, { layer, places, attend }));
        x = await this.#weights.use(names.block(layer), block, after(layer + 1));
        entering.dispose();
      }
      const leaving = x;
      result = await this.#weights.use(last, (w) => tf.tidy(() => finish(w, leaving)));
      return (await result.data()) as Float32Array;
    } finally {
      tf.dispose([x, places, result] as tf.TensorContainer);
    }
  }

  #checkTime(time: number): void {
    const { context } = this.config;
    const ok = Number.isInteger(time) && time >= 1 && time <= context;
    must(ok, 'BAD_REQUEST', () => `tokens: expected 1..${context} in a sequence, got ${time}`);
  }
}
