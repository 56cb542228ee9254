import type { Tensor2D } from '@tensorflow/tfjs';
import * as tf from '@tensorflow/tfjs';
import { must } from '#shared/errors/pool-error.ts';
import { type ModelConfig, parameterCount } from '#shared/weights/model-config.ts';
import { headLogits, headLosses } from '#worker/model/head-blocks.ts';
import { activeKernels, type LayerCache } from '#worker/model/kernels/kernels.ts';
import {
  type Attend,
  attendWithin,
  type Lookup,
  type Network,
  networkOf,
  type Places,
  positionsWithin,
} from '#worker/model/network.ts';
import { StreamedWeights } from '#worker/model/streamed-weights.ts';
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
  /** Which of the rows x [n,C] that leave the last block are wanted. */
  readonly pick: (x: Tensor2D) => Tensor2D;
  /** What is wanted of them, h [·,C] after the last norm. */
  readonly finish: (h: Tensor2D) => Promise<T>;
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
   * Brings the tensors to the memory of the current backend: all of them, or where they are larger than the budget
   * as many of them as it allows at a time. Throws WEIGHTS_NAMES or WEIGHTS_SHAPE where they are not the model's,
   * MEMORY_BUDGET where one layer is larger than the budget.
   */
  static async load(config: ModelConfig, source: TensorSource, budgetBytes = usualBudget()): Promise<Model> {
    const resident = parameterCount(config) * 4 <= budgetBytes;
    const weights = resident
      ? await ResidentWeights.load(config, source)
      : await StreamedWeights.load(config, source, budgetBytes);
    return new Model(config, weights);
  }

  /**
   * Replaces some tensors, one after another. Where one does not fit or does not come, those before it are replaced,
   * and that one has to be swapped in before the model is used again.
   */
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
      pick: (x) => tf.clone(x),
      finish: (h) => headLosses(this.#weights, this.#head, { h, labels }), // [n]
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
      pick: (x) => tf.gather(x, tokenTensor(lastRows)), // [parts,C]
      finish: (h) => headLogits(this.#weights, this.#head, h), // [parts,V]
    };
  }

  async #run<T extends tf.Tensor>({ ids, positions, attend, pick, finish }: Pass<T>): Promise<Float32Array> {
    const { names, ...network } = this.#network;
    const after = (layer: number) => (layer < this.config.layers ? names.block(layer) : names.end);
    const places = network.places(positions);
    let x: Tensor2D | undefined; // [n,C], the residual stream
    let result: T | undefined;
    try {
      x = await this.#embed(ids, places);
      for (let layer = 0; layer < this.config.layers; layer++) {
        const entering: Tensor2D = x;
        const block = (w: Lookup) => tf.tidy(() => network.block(w, entering, { layer, places, attend }));
        x = await this.#weights.use(names.block(layer), block, after(layer + 1));
        entering.dispose();
      }
      const leaving = x;
      x = await this.#weights.use(names.end, (w) => tf.tidy(() => network.end(w, pick(leaving))));
      leaving.dispose();
      result = await finish(x);
      return (await result.data()) as Float32Array;
    } finally {
      tf.dispose([x, places, result] as tf.TensorContainer);
    }
  }

  /** Of the token table, which may be large, only the rows of these ids [n] are brought in → [n,C] */
  async #embed(ids: ArrayLike<number>, places: Places): Promise<Tensor2D> {
    const { names, ...network } = this.#network;
    const [table, ...others] = names.embed;
    const rows = await this.#weights.rows(table as string, ids); // [n,C]
    try {
      const start = (w: Lookup) =>
        tf.tidy(() => {
          const each = tf.range(0, ids.length, 1, 'int32');
          return network.embed((name) => (name === table ? rows : w(name)), each, places);
        });
      return await this.#weights.use(others, start, names.block(0));
    } finally {
      rows.dispose();
    }
  }

  get #head(): string {
    return this.#network.names.head[0] as string;
  }

  #checkTime(time: number): void {
    const { context } = this.config;
    const ok = Number.isInteger(time) && time >= 1 && time <= context;
    must(ok, 'BAD_REQUEST', () => `tokens: expected 1..${context} in a sequence, got ${time}`);
  }
}

/** Of WebAssembly's 4 GiB a quarter is left for what is computed and for caches of keys and values. */
const WASM_BUDGET_BYTES = 3 * 2 ** 30;

function usualBudget(): number {
  return tf.getBackend() === 'wasm' ? WASM_BUDGET_BYTES : Number.POSITIVE_INFINITY;
}
