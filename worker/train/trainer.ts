import { setImmediate as nextTurn } from 'node:timers/promises';
import * as tf from '@tensorflow/tfjs';
import { must } from '#shared/errors/pool-error.ts';
import { type ModelConfig, tensorShapes } from '#shared/weights/model-config.ts';
import { freeze } from '#worker/model/frozen.ts';
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

/** What the optimiser knows of one tensor, as f32 values. */
export interface TensorState {
  readonly weight: Float32Array;
  readonly moment1: Float32Array;
  readonly moment2: Float32Array;
}

export interface TrainerDependencies {
  /** Tensors that are trained; the others stay as they are. All of them unless given. */
  readonly only?: readonly string[] | undefined;
  readonly now?: () => number;
}

interface Gradients {
  readonly loss: number;
  readonly gradients: tf.Tensor[];
}

/**
 * Trains a model, or some of its tensors, with AdamW (Loshchilov & Hutter 2019), warm-up, cosine decay and clipping
 * by the global norm. Only matrices decay. A step whose loss or gradient is not finite changes nothing.
 */
export class Trainer {
  readonly config: ModelConfig;
  readonly #network: Network;
  readonly #options: TrainerOptions;
  readonly #now: () => number;
  readonly #states = new Map<string, AdamWState>();
  /** Weights that are not trained. */
  readonly #fixed = new Map<string, tf.Tensor>();
  #steps = 0;

  constructor(
    config: ModelConfig,
    tensors: ReadonlyMap<string, Float32Array>,
    options: Partial<TrainerOptions> & TrainerDependencies = {},
  ) {
    const { now = () => performance.now(), only, ...rest } = options;
    const trained = new Set(only ?? tensors.keys());
    this.config = config;
    this.#network = networkOf(config);
    this.#options = { ...TRAINER_DEFAULTS, ...rest };
    this.#now = now;
    for (const [name, weight] of toTensors(config, tensors)) {
      if (trained.has(name)) {
        this.#states.set(name, { weight, moment1: tf.zerosLike(weight), moment2: tf.zerosLike(weight) });
      } else this.#fix(name, weight);
    }
  }

  /** Steps that changed the weights. */
  get steps(): number {
    return this.#steps;
  }

  /** Names of the tensors that are trained, and their shapes. */
  get trained(): ReadonlyMap<string, readonly number[]> {
    return new Map([...this.#states].map(([name, { weight }]) => [name, weight.shape]));
  }

  /**
   * One step on one batch, or on several as if they were one: their gradients are added up, so that only one of them
   * need be in memory. All have as many tokens. Blocks the event loop while a batch is computed.
   */
  async step(...parts: readonly Batch[]): Promise<StepResult> {
    const start = this.#now();
    this.#check(parts);
    const learningRate = learningRateAt(this.#steps, this.#options);
    const { loss, gradients } = await this.#sum(parts);
    const gradientNorm = Math.sqrt(await activeKernels().sumOfSquares(gradients)) / parts.length;
    if (Number.isFinite(loss) && Number.isFinite(gradientNorm)) {
      this.#update(gradients, { learningRate, gradientNorm, parts: parts.length });
    }
    tf.dispose(gradients);
    await nextTurn();
    const tokens = parts.reduce((sum, { ids }) => sum + ids.length, 0);
    return { loss, tokens, ms: this.#now() - start, gradientNorm, learningRate };
  }

  /** A copy of the current weights, trained or not. */
  async weights(): Promise<Map<string, Float32Array>> {
    const values = new Map<string, Float32Array>();
    for (const name of tensorShapes(this.config).keys()) {
      const tensor = this.#states.get(name)?.weight ?? this.#fixed.get(name);
      must(tensor, 'INTERNAL', 'trainer: used after dispose');
      values.set(name, (await tensor.data()) as Float32Array);
    }
    return values;
  }

  /** Goes on from other weights, some or all; the optimiser's moments and the schedule stay. */
  load(tensors: ReadonlyMap<string, Float32Array>): void {
    for (const [name, fresh] of someTensors(this.config, tensors)) {
      const state = this.#states.get(name);
      (state?.weight ?? this.#fixed.get(name))?.dispose();
      if (state) state.weight = fresh;
      else this.#fix(name, fresh);
    }
  }

  /** What `restore` needs of a trained tensor to go on as if nothing had happened. */
  async state(name: string): Promise<TensorState> {
    const state = this.#states.get(name);
    must(state, 'INTERNAL', () => `trainer: ${name} is not trained`);
    const [weight, moment1, moment2] = await Promise.all(
      [state.weight, state.moment1, state.moment2].map(
        async (tensor) => (await tensor.data()) as Float32Array,
      ),
    );
    return { weight, moment1, moment2 } as TensorState;
  }

  /** Puts a trained tensor back to where it was. */
  restore(name: string, { weight, moment1, moment2 }: TensorState): void {
    const state = this.#states.get(name);
    must(state, 'INTERNAL', () => `trainer: ${name} is not trained`);
    const { shape } = state.weight;
    tf.dispose([state.weight, state.moment1, state.moment2]);
    state.weight = tf.tensor(weight, shape, 'float32');
    state.moment1 = tf.tensor(moment1, shape, 'float32');
    state.moment2 = tf.tensor(moment2, shape, 'float32');
  }

  /** The next step is the one after so many. */
  resumeAfter(steps: number): void {
    this.#steps = steps;
  }

  /** Frees all tensors. Safe to call twice. */
  dispose(): void {
    for (const { weight, moment1, moment2 } of this.#states.values()) tf.dispose([weight, moment1, moment2]);
    tf.dispose([...this.#fixed.values()]);
    this.#states.clear();
    this.#fixed.clear();
  }

  #fix(name: string, weight: tf.Tensor): void {
    freeze(weight);
    this.#fixed.set(name, weight);
  }

  #check(parts: readonly Batch[]): void {
    must(this.#states.size > 0, 'INTERNAL', 'trainer: used after dispose, or nothing to train');
    for (const { ids, labels } of parts) {
      must(ids.length === parts[0]?.ids.length, 'BAD_REQUEST', 'batches: expected all of one size');
      checkIds(ids, this.config.vocabulary);
      checkIds(labels, this.config.vocabulary);
    }
  }

  /** The mean of the losses, and the sum of the gradients. */
  async #sum(parts: readonly Batch[]): Promise<Gradients> {
    let losses = 0;
    let sum: tf.Tensor[] | undefined;
    for (const part of parts) {
      const { loss, gradients } = await this.#lossAndGradients(part);
      losses += loss;
      if (sum === undefined) sum = gradients;
      else {
        const before = sum;
        sum = gradients.map((gradient, i) => tf.add(before[i] as tf.Tensor, gradient));
        tf.dispose([before, gradients]);
      }
      if (parts.length > 1) await nextTurn();
    }
    return { loss: losses / parts.length, gradients: sum ?? [] };
  }

  async #lossAndGradients(batch: Batch): Promise<Gradients> {
    const names = [...this.#states.keys()];
    const run = tf.valueAndGrads((...tensors: tf.Tensor[]) => {
      const weights = new Map([...this.#fixed, ...names.map((name, i) => [name, tensors[i]!] as const)]);
      const tokens = { ids: tokenTensor(batch.ids), labels: tokenTensor(batch.labels), time: batch.time };
      return meanLoss(this.#network, (name) => weights.get(name)!, tokens).asScalar();
    });
    const { value, grads } = tf.tidy(() => run([...this.#states.values()].map((state) => state.weight)));
    const loss = (await value.data())[0]!;
    value.dispose();
    return { loss, gradients: grads };
  }

  #update(
    gradients: readonly tf.Tensor[],
    at: { learningRate: number; gradientNorm: number; parts: number },
  ): void {
    const { beta1, beta2, epsilon, weightDecay, gradClip } = this.#options;
    this.#steps++;
    const shared = {
      learningRate: at.learningRate,
      beta1,
      beta2,
      epsilon,
      correction1: 1 - beta1 ** this.#steps,
      correction2: 1 - beta2 ** this.#steps,
      gradientScale: Math.min(1, gradClip / at.gradientNorm) / at.parts,
    };
    for (const [i, state] of [...this.#states.values()].entries()) {
      const decays = state.weight.rank >= 2;
      activeKernels().adamW(state, gradients[i]!, { ...shared, weightDecay: decays ? weightDecay : 0 });
    }
  }
}
