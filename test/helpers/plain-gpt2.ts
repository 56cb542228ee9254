import type { Tensor, Tensor1D, Tensor2D, Tensor4D } from '@tensorflow/tfjs';
import * as tf from '@tensorflow/tfjs';
import type { ModelConfig } from '#shared/weights/model-config.ts';

/**
 * GPT-2 as one writes it with TensorFlow.js operations alone, batched and with their own gradients. It shares
 * no code with the worker's model: the oracle of its tests, and what its speed is compared with.
 */
export interface PlainBatch {
  readonly ids: ArrayLike<number>;
  readonly labels: ArrayLike<number>;
  readonly time: number;
}

/** Mean cross-entropy in nats and the gradient of every weight, in the order of the names. */
export function plainLossAndGradients(
  config: ModelConfig,
  weights: ReadonlyMap<string, Tensor>,
  batch: PlainBatch,
): { loss: number; gradients: Map<string, Tensor> } {
  const names = [...weights.keys()];
  const run = tf.valueAndGrads((...tensors: Tensor[]) => {
    const losses = plainLosses(config, new Map(names.map((name, i) => [name, tensors[i]!])), batch);
    return tf.mean(losses);
  });
  const { value, grads } = run([...weights.values()]);
  const loss = value.dataSync()[0]!;
  value.dispose();
  return { loss, gradients: new Map(names.map((name, i) => [name, grads[i]!])) };
}

/** Cross-entropy of each label, [B·T]. */
export function plainLosses(
  config: ModelConfig,
  weights: ReadonlyMap<string, Tensor>,
  batch: PlainBatch,
): Tensor1D {
  const labels = tf.tensor1d(Int32Array.from(batch.labels), 'int32');
  const logits = plainLogits(config, weights, batch); // [n,V]
  const places = tf.stack([tf.range(0, labels.size, 1, 'int32'), labels], 1);
  // A mask by scatter: the gradient of gatherND is missing in TensorFlow.js.
  const mask = tf.scatterND(places as Tensor2D, tf.ones([labels.size]), logits.shape);
  return tf.sub(tf.logSumExp(logits, 1), tf.sum(tf.mul(logits, mask), 1));
}

export function plainLogits(
  config: ModelConfig,
  weights: ReadonlyMap<string, Tensor>,
  batch: Pick<PlainBatch, 'ids' | 'time'>,
): Tensor2D {
  const { width: C, layers, heads: H, normEpsilon } = config;
  const { time: T } = batch;
  const B = batch.ids.length / T;
  const w = (name: string) => weights.get(`transformer.${name}`) as Tensor;
  const linear = (x: Tensor, name: string) =>
    tf.add(tf.matMul(x as Tensor2D, w(`${name}.weight`) as Tensor2D), w(`${name}.bias`));
  const norm = (x: Tensor, name: string) => {
    const { mean, variance } = tf.moments(x, -1, true);
    const unit = tf.div(tf.sub(x, mean), tf.sqrt(tf.add(variance, normEpsilon)));
    return tf.add(tf.mul(unit, w(`${name}.weight`)), w(`${name}.bias`));
  };
  const split = (x: Tensor) => x.reshape([B, T, H, C / H]).transpose([0, 2, 1, 3]) as Tensor4D;
  const attention = (x: Tensor, name: string) => {
    const [q, k, v] = tf.split(linear(x, `${name}.c_attn`), 3, -1).map(split) as [
      Tensor4D,
      Tensor4D,
      Tensor4D,
    ];
    const future = tf.sub(1, tf.linalg.bandPart(tf.ones([T, T]), -1, 0));
    const scores = tf.div(tf.matMul(q, k, false, true), Math.sqrt(C / H)); // [B,H,T,T]
    const p = tf.softmax(tf.sub(scores, tf.mul(future, 1e9)));
    return linear(
      tf
        .matMul(p, v)
        .transpose([0, 2, 1, 3])
        .reshape([B * T, C]),
      `${name}.c_proj`,
    );
  };
  const mlp = (x: Tensor, name: string) => {
    const u = linear(x, `${name}.c_fc`);
    const inner = tf.mul(Math.sqrt(2 / Math.PI), tf.add(u, tf.mul(0.044715, tf.pow(u, 3))));
    return linear(tf.mul(tf.mul(0.5, u), tf.add(1, tf.tanh(inner))), `${name}.c_proj`);
  };

  const ids = tf.tensor1d(Int32Array.from(batch.ids), 'int32');
  const tokens = tf.gather(w('wte.weight'), ids).reshape([B, T, C]);
  let x: Tensor = tf.add(tokens, tf.slice(w('wpe.weight'), [0, 0], [T, C])).reshape([B * T, C]);
  for (let layer = 0; layer < layers; layer++) {
    const h = `h.${layer}`;
    x = tf.add(x, attention(norm(x, `${h}.ln_1`), `${h}.attn`));
    x = tf.add(x, mlp(norm(x, `${h}.ln_2`), `${h}.mlp`));
  }
  return tf.matMul(norm(x, 'ln_f') as Tensor2D, w('wte.weight') as Tensor2D, false, true);
}
