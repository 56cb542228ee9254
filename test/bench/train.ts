import * as tf from '@tensorflow/tfjs';
import { initialWeights } from '#shared/weights/initial-weights.ts';
import { type ModelConfig, parameterCount, parseModelConfig } from '#shared/weights/model-config.ts';
import { figure, type Measurement, type Report } from '#test/bench/report.ts';
import { plainLossAndGradients } from '#test/helpers/plain-gpt2.ts';
import { randomIds } from '#test/helpers/tensors.ts';
import { windowLosses } from '#worker/evaluate/window-losses.ts';
import { startBackend } from '#worker/model/backend/start.ts';
import { buildKernels } from '#worker/model/kernels/build.mjs';
import { genericKernels } from '#worker/model/kernels/generic.ts';
import { Model } from '#worker/model/model.ts';
import { toTensors } from '#worker/model/tensors.ts';
import { fromValues } from '#worker/model/weight-set.ts';
import type { Batch } from '#worker/train/batches.ts';
import { Trainer } from '#worker/train/trainer.ts';

/** Rounds taken in turn, so that other load falls on all rates alike; the best of each counts. */
const ROUNDS = 4;
/** The plain step takes seconds. */
const PLAIN_ROUNDS = 2;
const STEPS_A_ROUND = 3;
const MATRIX = 512;

/** The development network's model and its batch. */
const SMALL = { layers: 4, width: 128, heads: 4, sequences: 8 };
/** Five million weights. */
const LARGE = { layers: 6, width: 256, heads: 8, sequences: 4 };
const CONTEXT = 128;
const VOCABULARY = 1024;

/** Training and evaluation on WebAssembly against plain TensorFlow.js in the same process. */
export async function bench(report: Report): Promise<void> {
  await buildKernels();
  await startBackend('wasm');
  registerSegmentSum();
  const small = new Subject(SMALL);
  const large = new Subject(LARGE);
  const best = { matmul: 0, plain: 0, small: 0, large: 0, evaluation: 0 };
  for (let round = 0; round < ROUNDS; round++) {
    best.matmul = Math.max(best.matmul, matmulGflops());
    if (round < PLAIN_ROUNDS) best.plain = Math.max(best.plain, await small.plainStepsPerSecond());
    best.small = Math.max(best.small, await small.stepsPerSecond());
    best.large = Math.max(best.large, await large.stepsPerSecond());
    best.evaluation = Math.max(best.evaluation, await small.evaluationsPerSecond());
  }
  const tokens = small.batch.ids.length;
  const row = (measurement: Omit<Measurement, 'name'>) => report(figure({ name: 'train', ...measurement }));
  const matmul = { name: `tf.matMul ${MATRIX}³`, value: best.matmul };
  const gflops = (rate: number, flops: number) => ({
    value: (rate * flops) / 1e9,
    unit: 'GFLOP/s',
    anchor: matmul,
  });

  row({
    metric: `training steps, ${small.millions} M weights`,
    value: best.small,
    unit: '1/s',
    anchor: { name: 'plain tf.grads', value: best.plain },
    goal: { on: 'ratio', atLeast: 5 },
  });
  row({
    metric: 'training tokens',
    value: best.small * tokens,
    unit: '1/s',
    anchor: { name: 'plain tf.grads', value: best.plain * tokens },
  });
  row({ metric: `training, ${small.millions} M weights`, ...gflops(best.small, 3 * small.forwardFlops) });
  row({ metric: `training, ${large.millions} M weights`, ...gflops(best.large, 3 * large.forwardFlops) });
  row({ metric: `evaluation, ${small.millions} M weights`, ...gflops(best.evaluation, small.forwardFlops) });
  small.dispose();
  large.dispose();
}

/** One model with one batch, to be trained in two ways and evaluated. */
class Subject {
  readonly batch: Batch;
  /** 2 operations a weight and token; a training step is counted as three times that. Attention is not counted. */
  readonly forwardFlops: number;
  readonly millions: string;
  private readonly config: ModelConfig;
  private readonly weights: Map<string, Float32Array>;
  private readonly trainer: Trainer;

  constructor(size: typeof SMALL) {
    this.config = parseModelConfig({
      model_type: 'gpt2',
      activation_function: 'gelu_new',
      n_layer: size.layers,
      n_head: size.heads,
      n_embd: size.width,
      n_positions: CONTEXT,
      vocab_size: VOCABULARY,
    });
    const count = size.sequences * CONTEXT;
    this.batch = {
      ids: randomIds(count, 1, VOCABULARY),
      labels: randomIds(count, 2, VOCABULARY),
      time: CONTEXT,
    };
    this.forwardFlops = 2 * parameterCount(this.config) * count;
    this.millions = (parameterCount(this.config) / 1e6).toFixed(2);
    this.weights = initialWeights(this.config, 1);
    this.trainer = new Trainer(this.config, this.weights, { learningRate: 1e-4 });
  }

  async stepsPerSecond(): Promise<number> {
    return await bestRate(STEPS_A_ROUND, async () => {
      await this.trainer.step(this.batch);
    });
  }

  /** Loss, gradients and AdamW with TensorFlow.js' own operations: what one would write without our kernels. */
  async plainStepsPerSecond(): Promise<number> {
    const weights = toTensors(this.config, this.weights);
    const step = {
      beta1: 0.9,
      beta2: 0.99,
      epsilon: 1e-8,
      weightDecay: 0.1,
      correction1: 0.1,
      correction2: 0.01,
    };
    return await bestRate(1, () => {
      const { gradients } = tf.tidy(() => {
        const result = plainLossAndGradients(this.config, weights, this.batch);
        return { gradients: Object.fromEntries(result.gradients) };
      });
      for (const [name, weight] of weights) {
        const state = { weight, moment1: tf.zerosLike(weight), moment2: tf.zerosLike(weight) };
        genericKernels.adamW(state, gradients[name]!, { ...step, learningRate: 1e-4, gradientScale: 1 });
        tf.dispose([state.weight, state.moment1, state.moment2]);
      }
      tf.dispose(gradients);
    });
  }

  /** Evaluations of as many windows as the batch has sequences. */
  async evaluationsPerSecond(): Promise<number> {
    const model = await Model.load(this.config, fromValues(this.weights));
    const windows = Array.from({ length: this.batch.ids.length / CONTEXT }, (_, i) =>
      Uint32Array.from(randomIds(CONTEXT + 1, 3 + i, VOCABULARY)),
    );
    const rate = await bestRate(STEPS_A_ROUND, async () => {
      await windowLosses(model, windows);
    });
    model.dispose();
    return rate;
  }

  dispose(): void {
    this.trainer.dispose();
  }
}

/** Runs per second of the fastest of `runs`. */
async function bestRate(runs: number, work: () => void | Promise<void>): Promise<number> {
  let best = 0;
  for (let i = 0; i < runs; i++) {
    const began = performance.now();
    await work();
    best = Math.max(best, 1000 / (performance.now() - began));
  }
  return best;
}

function matmulGflops(): number {
  const [a, b] = [tf.ones([MATRIX, MATRIX]), tf.ones([MATRIX, MATRIX])] as [tf.Tensor2D, tf.Tensor2D];
  let best = 0;
  for (let i = 0; i < 10; i++) {
    const began = performance.now();
    tf.matMul(a, b).dispose();
    best = Math.max(best, (2 * MATRIX ** 3) / (performance.now() - began) / 1e6);
  }
  tf.dispose([a, b]);
  return best;
}

/** The gradient of `tf.gather` needs a kernel that the wasm backend lacks; without it there is no plain step at all. */
function registerSegmentSum(): void {
  if (tf.getKernel('UnsortedSegmentSum', 'wasm')) return;
  tf.registerKernel({
    kernelName: 'UnsortedSegmentSum',
    backendName: 'wasm',
    kernelFunc: ({ inputs, attrs }) => {
      const x = inputs.x as tf.Tensor2D;
      const segmentIds = inputs.segmentIds as tf.Tensor1D;
      const rows = (attrs as unknown as { numSegments: number }).numSegments;
      return tf.tidy(() => tf.scatterND(segmentIds.expandDims(1), x, [rows, x.shape[1]]));
    },
  });
}
