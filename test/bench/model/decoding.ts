import type { Tensor2D } from '@tensorflow/tfjs';
import * as tf from '@tensorflow/tfjs';
import type { ModelConfig } from '#shared/weights/model-config.ts';
import type { Bench } from '#test/bench/model/section.ts';
import { benchWeights, GPT_124M, gptConfig, millions, seconds } from '#test/bench/model/shapes.ts';
import { randomIds } from '#test/helpers/tensors.ts';
import { activeKernels } from '#worker/model/kernels/kernels.ts';
import { Model, type Sequence } from '#worker/model/model.ts';
import { networkOf } from '#worker/model/network.ts';
import { ResidentWeights, type WeightSet } from '#worker/model/weight-set.ts';

const ROUNDS = 8;
const TOKENS_A_ROUND = 10;
const PROMPT = 32;
const BATCH = 8;
/** How much of eight times the rate eight sequences together are to reach. */
const BATCH_GOALS: Readonly<Record<string, number>> = { wasm: 3, tensorflow: 4 };

/** Tokens one after another: alone, eight sequences together, and the products that cannot be left out. */
export async function rows({ backend, row }: Bench): Promise<void> {
  const config = gptConfig(GPT_124M);
  const weights = await ResidentWeights.load(config, benchWeights(config));
  const model = new Model(config, weights);
  const alone = await startSequences(model, 1);
  const together = await startSequences(model, BATCH);
  const best = { alone: 0, together: 0, bare: 0 };
  for (let round = 0; round < ROUNDS; round++) {
    best.alone = Math.max(best.alone, await tokensPerSecond(model, alone));
    best.bare = Math.max(best.bare, await bareTokensPerSecond(config, weights));
    best.together = Math.max(best.together, await tokensPerSecond(model, together));
  }
  for (const sequence of [...alone, ...together]) model.disposeSequence(sequence);
  model.dispose();

  row({
    metric: `decoding one sequence, ${millions(config)}`,
    value: best.alone,
    unit: 'tokens/s',
    anchor: { name: 'bare products [1,k]·[k,n]', value: best.bare },
    ...(backend === 'wasm' && { goal: { on: 'ratio', atLeast: 0.6 } }),
  });
  const goal = BATCH_GOALS[backend];
  row({
    metric: `decoding ${BATCH} sequences together`,
    value: best.together,
    unit: 'tokens/s',
    anchor: { name: 'one sequence', value: best.alone },
    ...(goal !== undefined && { goal: { on: 'ratio', atLeast: goal } }),
  });
}

async function startSequences(model: Model, count: number): Promise<Sequence[]> {
  const sequences = Array.from({ length: count }, () => model.newSequence());
  const ids = randomIds(PROMPT, 1, model.config.vocabulary);
  await model.next(sequences.map((sequence) => ({ sequence, ids })));
  return sequences;
}

async function tokensPerSecond(model: Model, sequences: readonly Sequence[]): Promise<number> {
  let best = 0;
  for (let i = 0; i < TOKENS_A_ROUND; i++) {
    const parts = sequences.map((sequence) => ({ sequence, ids: [i] }));
    best = Math.max(best, sequences.length / (await seconds(() => model.next(parts))));
  }
  return best;
}

/** The matrices of all blocks and the head, each times one row: TensorFlow.js's product or ours, the faster. */
async function bareTokensPerSecond(config: ModelConfig, weights: WeightSet): Promise<number> {
  const network = networkOf(config);
  const products = async (multiply: (x: Tensor2D, w: Tensor2D) => tf.Tensor) => {
    for (let layer = 0; layer < config.layers; layer++) {
      const matrices = network.names.block(layer).filter((name) => /c_\w+\.weight$/.test(name));
      await weights.use(matrices, (w) => {
        for (const matrix of matrices.map((name) => w(name) as Tensor2D)) {
          tf.tidy(() => multiply(tf.ones([1, matrix.shape[0]]), matrix));
        }
      });
    }
    const head = (w: (name: string) => tf.Tensor) =>
      tf.tidy(() =>
        activeKernels().logits(tf.ones([1, config.width]), w(network.names.head[0]!) as Tensor2D),
      );
    const logits = await weights.use(network.names.head, head);
    await logits.data();
    logits.dispose();
  };
  let best = 0;
  for (let i = 0; i < TOKENS_A_ROUND; i++) {
    const theirs = await seconds(() => products((x, w) => tf.matMul(x, w)));
    const ours = await seconds(() => products((x, w) => activeKernels().linear(x, w, null, 'in-out')));
    best = Math.max(best, 1 / Math.min(theirs, ours));
  }
  return best;
}
