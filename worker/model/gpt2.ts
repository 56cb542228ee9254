import type { Tensor1D, Tensor2D } from '@tensorflow/tfjs';
import * as tf from '@tensorflow/tfjs';
import { must } from '#shared/errors/pool-error.ts';
import { type ModelConfig, tensorShapes } from '#shared/weights/model-config.ts';
import { activeKernels } from '#worker/model/kernels/kernels.ts';
import { attention, embed, gelu, headMeanLoss, layerNorm, linear } from '#worker/model/ops.ts';

/*
 * GPT-2 (Radford et al. 2019) with the tensor names of its Hugging Face checkpoints.
 * Shapes: B sequences of T tokens are n = B·T rows; C width, F inner width, V vocabulary.
 */

/** The tensors of a model by name. */
export type Weights = ReadonlyMap<string, tf.Tensor>;

/** Keys and values of the tokens seen so far, one [T,2C] tensor a layer. */
export interface Cache {
  readonly layers: Tensor2D[];
  length: number;
}

/** How the rows of one layer look at each other: whole sequences, or a sequence that goes on. */
type Attend = (qkv: Tensor2D, layer: number) => Tensor2D;

/** ids [n] in sequences of `time` tokens → hidden states [n,C] after the last norm. Differentiable. */
export function hiddenStates(
  weights: Weights,
  ids: Tensor1D,
  at: { config: ModelConfig; time: number },
): Tensor2D {
  const { config, time } = at;
  const x = embed(ids, embeddingTables(weights), time); // [n,C]
  return blocks(weights, x, { config, attend: (qkv) => attention(qkv, { time, heads: config.heads }) });
}

/** Mean cross-entropy of labels [n] after ids [n], in nats, as [1]. Differentiable in the weights. */
export function meanLoss(
  weights: Weights,
  batch: { ids: Tensor1D; labels: Tensor1D },
  at: { config: ModelConfig; time: number },
): Tensor1D {
  const h = hiddenStates(weights, batch.ids, at); // [n,C]
  return headMeanLoss(h, embeddingTables(weights).tokens, batch.labels);
}

function blocks(weights: Weights, input: Tensor2D, how: { config: ModelConfig; attend: Attend }): Tensor2D {
  const { config, attend } = how;
  const matrix = (name: string) => weights.get(`transformer.${name}.weight`) as Tensor2D;
  const vector = (name: string) => weights.get(`transformer.${name}`) as Tensor1D;
  const norm = (x: Tensor2D, name: string) =>
    layerNorm(x, { gain: vector(`${name}.weight`), bias: vector(`${name}.bias`) }, config.normEpsilon);
  const project = (x: Tensor2D, name: string) => linear(x, matrix(name), vector(`${name}.bias`));

  const block = (x: Tensor2D, layer: number): Tensor2D => {
    const h = `h.${layer}`;
    const qkv = project(norm(x, `${h}.ln_1`), `${h}.attn.c_attn`); // [n,3C]
    const seen = tf.add(x, project(attend(qkv, layer), `${h}.attn.c_proj`)) as Tensor2D; // [n,C]
    const inner = gelu(project(norm(seen, `${h}.ln_2`), `${h}.mlp.c_fc`)); // [n,F]
    return tf.add(seen, project(inner, `${h}.mlp.c_proj`)); // [n,C]
  };

  let x = input; // [n,C], the residual stream
  for (let layer = 0; layer < config.layers; layer++) {
    // A scope a layer: without it the tensors between would all live until the end of the network.
    const entering = x;
    x = tf.tidy(() => block(entering, layer));
  }
  return norm(x, 'ln_f'); // [n,C]
}

function embeddingTables(weights: Weights): { tokens: Tensor2D; positions: Tensor2D } {
  return {
    tokens: weights.get('transformer.wte.weight') as Tensor2D, // [V,C], also the head
    positions: weights.get('transformer.wpe.weight') as Tensor2D, // [T,C]
  };
}

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
  for (const [name, data] of values) {
    const shape = shapes.get(name);
    must(shape, 'WEIGHTS_NAMES', () => `${name.slice(0, 100)}: not a tensor of this model`);
    const size = shape.reduce((a, b) => a * b, 1);
    must(
      data.length === size,
      'WEIGHTS_SHAPE',
      `${name}: expected ${size} values [${shape}], got ${data.length}`,
    );
  }
  return new Map([...values].map(([name, data]) => [name, tf.tensor(data, shapes.get(name), 'float32')]));
}

/** A model in the memory of the current backend, for evaluation and chat. */
export class Model {
  readonly config: ModelConfig;
  private readonly weights: Map<string, tf.Tensor>;

  private constructor(config: ModelConfig, weights: Map<string, tf.Tensor>) {
    this.config = config;
    this.weights = weights;
  }

  /** Copies the tensors to the backend. Throws WEIGHTS_NAMES or WEIGHTS_SHAPE where they are not the model's. */
  static load(config: ModelConfig, tensors: ReadonlyMap<string, Float32Array>): Model {
    return new Model(config, toTensors(config, tensors));
  }

  /** Replaces some tensors: all of them, or none where one does not fit. */
  swap(changed: ReadonlyMap<string, Float32Array>): void {
    for (const [name, tensor] of someTensors(this.config, changed)) {
      this.weights.get(name)?.dispose();
      this.weights.set(name, tensor);
    }
  }

  /**
   * Cross-entropy in nats of each label after its token: ids and labels [B·T] in sequences of `time`.
   * Bad weights give NaN; ids outside the vocabulary or a `time` over the context throw BAD_REQUEST.
   */
  async losses(
    batch: { ids: ArrayLike<number>; labels: ArrayLike<number> },
    time: number,
  ): Promise<Float32Array> {
    const { config } = this;
    checkTime(time, config.context);
    checkIds(batch.ids, config.vocabulary);
    checkIds(batch.labels, config.vocabulary);
    const losses = tf.tidy(() => {
      const h = hiddenStates(this.weights, tokenTensor(batch.ids), { config, time }); // [n,C]
      return activeKernels().headLosses(h, embeddingTables(this.weights).tokens, tokenTensor(batch.labels)); // [n]
    });
    const values = (await losses.data()) as Float32Array;
    losses.dispose();
    return values;
  }

  /** An empty cache; give it back to `disposeCache`. */
  newCache(): Cache {
    const { layers, context, width } = this.config;
    return {
      layers: Array.from({ length: layers }, () => tf.zeros([context, 2 * width]) as Tensor2D),
      length: 0,
    };
  }

  disposeCache(cache: Cache): void {
    tf.dispose(cache.layers);
    cache.layers.length = 0;
    cache.length = 0;
  }

  /** Appends `ids` to the cached sequence and returns the logits [V] after the last of them. */
  async nextLogits(ids: ArrayLike<number>, cache: Cache): Promise<Float32Array> {
    const { config, weights } = this;
    const time = ids.length;
    const past = cache.length;
    checkTime(past + time, config.context);
    checkIds(ids, config.vocabulary);
    const logits = tf.tidy(() => {
      const tables = embeddingTables(weights);
      const x = activeKernels().embed(tokenTensor(ids), tables, { time, start: past }); // [t,C]
      const attend: Attend = (qkv, layer) => attendCached(qkv, { cache, layer, heads: config.heads });
      const h = blocks(weights, x, { config, attend }); // [t,C]
      return activeKernels().logits(tf.slice(h, [time - 1, 0], [1, -1]), tables.tokens); // [1,V]
    });
    cache.length = past + time;
    const values = (await logits.data()) as Float32Array;
    logits.dispose();
    return values;
  }

  /** Frees the tensors. Safe to call twice. */
  dispose(): void {
    for (const tensor of this.weights.values()) tensor.dispose();
    this.weights.clear();
  }
}

function attendCached(qkv: Tensor2D, at: { cache: Cache; layer: number; heads: number }): Tensor2D {
  const { cache, layer, heads } = at;
  const before = cache.layers[layer]!;
  const [out, after] = activeKernels().attentionCached(qkv, before, { past: cache.length, heads });
  if (after !== before) {
    before.dispose();
    cache.layers[layer] = tf.keep(after);
  }
  return out;
}

/** Token ids as a tensor [n]. */
export function tokenTensor(ids: ArrayLike<number>): Tensor1D {
  return tf.tensor1d(Int32Array.from(ids), 'int32');
}

function checkTime(time: number, context: number): void {
  const ok = Number.isInteger(time) && time >= 1 && time <= context;
  must(ok, 'BAD_REQUEST', () => `tokens: expected 1..${context} in a sequence, got ${time}`);
}

/** Kernels read memory by token id: an id outside the table must not reach them. */
export function checkIds(ids: ArrayLike<number>, vocabulary: number): void {
  for (let i = 0; i < ids.length; i++) {
    const id = ids[i]!;
    const ok = Number.isInteger(id) && id >= 0 && id < vocabulary;
    must(ok, 'BAD_REQUEST', () => `token ${i}: expected an id below ${vocabulary}, got ${id}`);
  }
}
