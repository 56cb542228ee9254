import * as tf from '@tensorflow/tfjs';
import { must } from '#shared/errors/pool-error.ts';
import type { ModelConfig } from '#shared/weights/model-config.ts';
import { type AdamWState, activeKernels } from '#worker/model/kernels/kernels.ts';
import { meanLoss, type Network, networkOf } from '#worker/model/network.ts';
import { checkIds, someTensors, tokenTensor, toTensors } from '#worker/model/tensors.ts';
import type { Batch } from '#worker/train/batches.ts';
import { learningRateAt, type Schedule } from '#worker/train/schedule.ts';

export interface TrainerOptions extends Schedule {
  readonly weightDecay: number;
  /** Gradients longer than this, over all tensors together, are scaled down to it. */
  readonly gradClip: number;
  readonly beta1: number;
  readonly beta2: number;
  readonly epsilon: number;
}

export const TRAINER_DEFAULTS: TrainerOptions = {
  learningRate: 1.5e-3,
  finalFraction: 0.1,
  warmupSteps: 20,
  totalSteps: 1000,
  weightDecay: 0.1,
  gradClip: 1,
  beta1: 0.9,
  beta2: 0.99,
  epsilon: 1e-8,
};

export interface StepResult {
  /** Mean cross-entropy of the batch before the step, nats. */
  readonly loss: number;
  readonly tokens: number;
  readonly ms: number;
  /** Length of the whole gradient before clipping. */
  readonly gradientNorm: number;
  readonly learningRate: number;
}

/**
 * Trains a model with AdamW (Loshchilov & Hutter 2019), warm-up, cosine decay and clipping by the global
 * norm. Only matrices decay. A step whose loss or gradient is not finite changes nothing.
 */
export class Trainer {
  private readonly config: ModelConfig;
  private readonly network: Network;
  private readonly options: TrainerOptions;
  private readonly now: () => number;
  private readonly states: Map<string, AdamWState>;
  private steps = 0;

  constructor(
    config: ModelConfig,
    tensors: ReadonlyMap<string, Float32Array>,
    options: Partial<TrainerOptions> & { readonly now?: () => number } = {},
  ) {
    const { now = () => performance.now(), ...rest } = options;
    this.config = config;
    this.network = networkOf(config);
    this.options = { ...TRAINER_DEFAULTS, ...rest };
    this.now = now;
    this.states = new Map(
      [...toTensors(config, tensors)].map(([name, weight]) => [
        name,
        { weight, moment1: tf.zerosLike(weight), moment2: tf.zerosLike(weight) },
      ]),
    );
  }

  /** One step on one batch. Blocks the event loop while it computes, and yields once before it returns. */
  async step(batch: Batch): Promise<StepResult> {
    const start = this.now();
    checkIds(batch.ids, this.config.vocabulary);
    checkIds(batch.labels, this.config.vocabulary);
    const learningRate = learningRateAt(this.steps, this.options);
    const { loss, gradients } = await this.lossAndGradients(batch);
    const gradientNorm = Math.sqrt(await activeKernels().sumOfSquares(gradients));
    if (Number.isFinite(loss) && Number.isFinite(gradientNorm)) {
      this.update(gradients, { learningRate, gradientNorm });
    }
    tf.dispose(gradients);
    await new Promise((resolve) => setImmediate(resolve));
    return { loss, tokens: batch.ids.length, ms: this.now() - start, gradientNorm, learningRate };
  }

  /** A copy of the current weights. */
  weights(): Map<string, Float32Array> {
    return new Map([...this.states].map(([name, state]) => [name, state.weight.dataSync() as Float32Array]));
  }

  /** Goes on from other weights, some or all; the optimiser's moments and the schedule stay. */
  load(tensors: ReadonlyMap<string, Float32Array>): void {
    for (const [name, fresh] of someTensors(this.config, tensors)) {
      const state = this.states.get(name)!;
      state.weight.dispose();
      state.weight = fresh;
    }
  }

  /** Frees all tensors. Safe to call twice. */
  dispose(): void {
    for (const { weight, moment1, moment2 } of this.states.values()) tf.dispose([weight, moment1, moment2]);
    this.states.clear();
  }

  private async lossAndGradients(batch: Batch): Promise<{ loss: number; gradients: tf.Tensor[] }> {
    must(this.states.size > 0, 'INTERNAL', 'trainer: used after dispose');
    const names = [...this.states.keys()];
    const run = tf.valueAndGrads((...tensors: tf.Tensor[]) => {
      const weights = new Map(names.map((name, i) => [name, tensors[i]!]));
      const tokens = { ids: tokenTensor(batch.ids), labels: tokenTensor(batch.labels), time: batch.time };
      return meanLoss(this.network, (name) => weights.get(name)!, tokens).asScalar();
    });
    const { value, grads } = tf.tidy(() => run([...this.states.values()].map((state) => state.weight)));
    const loss = (await value.data())[0]!;
    value.dispose();
    return { loss, gradients: grads };
  }

  private update(gradients: readonly tf.Tensor[], at: { learningRate: number; gradientNorm: number }): void {
    const { beta1, beta2, epsilon, weightDecay, gradClip } = this.options;
    this.steps++;
    const shared = {
      learningRate: at.learningRate,
      beta1,
      beta2,
      epsilon,
      correction1: 1 - beta1 ** this.steps,
      correction2: 1 - beta2 ** this.steps,
      gradientScale: Math.min(1, gradClip / at.gradientNorm),
    };
    for (const [i, state] of [...this.states.values()].entries()) {
      const decays = state.weight.rank >= 2;
      activeKernels().adamW(state, gradients[i]!, { ...shared, weightDecay: decays ? weightDecay : 0 });
    }
  }
}
