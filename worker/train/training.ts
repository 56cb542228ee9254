import { createHash } from 'node:crypto';
import { must } from '#shared/errors/pool-error.ts';
import { type ModelConfig, tensorShapes } from '#shared/weights/model-config.ts';
import { type Batch, batches } from '#worker/train/batches.ts';
import { Checkpoint, checkSettings, type TrainingSettings } from '#worker/train/checkpoint.ts';
import { chooseTensors } from '#worker/train/choose-tensors.ts';
import { type StepResult, TRAINER_DEFAULTS, Trainer } from '#worker/train/trainer.ts';

/** What a person may say of how it is trained. */
export interface TrainingOptions {
  /** Sequences of a batch. */
  readonly batch: number;
  /** Batches whose gradients are added up for one step. */
  readonly accumulate: number;
  /** The trainer's own where it is left out; as is the next. */
  readonly learningRate?: number | undefined;
  readonly warmup?: number | undefined;
  /** Steps in which the learning rate comes down. */
  readonly totalSteps: number;
  /** Order of the data. */
  readonly seed: number;
  /** Patterns of the names of tensors that are trained; none: all of them. */
  readonly only: readonly string[];
  /** Folder of the checkpoint. */
  readonly checkpoint?: string | undefined;
}

/** What training begins with. */
export interface TrainingStart {
  readonly config: ModelConfig;
  readonly tensors: ReadonlyMap<string, Float32Array>;
  /** Their model root, hex. */
  readonly root: string;
  /** Token ids. */
  readonly text: Uint16Array | Uint32Array;
}

/** A training run: the model, the data, where it stands, and the checkpoint in which that is kept. */
export class Training {
  readonly trainer: Trainer;
  readonly #options: TrainingOptions;
  readonly #settings: TrainingSettings;
  readonly #batches: Iterator<Batch, never>;
  #base: string;
  #drawn: number;

  private constructor(
    start: TrainingStart,
    options: TrainingOptions,
    at: { trainer: Trainer; drawn: number },
  ) {
    const { batch: batchSize, seed } = options;
    this.trainer = at.trainer;
    this.#options = options;
    this.#settings = settingsOf(start, options);
    this.#base = start.root;
    this.#drawn = at.drawn;
    const { context } = start.config;
    this.#batches = batches(start.text, { context, batchSize, seed, skip: at.drawn });
  }

  /**
   * Begins, or goes on from `checkpoint` as if nothing had happened. OPTION where a pattern fits no tensor,
   * CHECKPOINT where the checkpoint is damaged, or one of another run.
   */
  static async begin(
    start: TrainingStart,
    options: TrainingOptions,
    checkpoint?: Checkpoint,
  ): Promise<Training> {
    const only = chooseTensors([...tensorShapes(start.config).keys()], options.only);
    if (checkpoint) {
      const { path, progress } = checkpoint;
      must(
        progress.base === start.root,
        'CHECKPOINT',
        `${path}: was begun from the weights of root ${progress.base}, these have ${start.root}`,
      );
      checkSettings(checkpoint, settingsOf(start, options));
    }
    const trainer = new Trainer(start.config, start.tensors, { ...schedule(options), only });
    try {
      await checkpoint?.restore(trainer);
      return new Training(start, options, { trainer, drawn: checkpoint?.progress.drawn ?? 0 });
    } catch (error) {
      trainer.dispose();
      throw error;
    }
  }

  async step(): Promise<StepResult> {
    const parts = Array.from({ length: this.#options.accumulate }, () => this.#batches.next().value);
    this.#drawn += parts.length;
    return await this.trainer.step(...parts);
  }

  /** From here on the weights are a change of others: of those with this root. */
  rebase(root: string): void {
    this.#base = root;
  }

  /** Writes the checkpoint, and returns its path; does nothing where no folder was given, and after `dispose`. */
  async save(): Promise<string | undefined> {
    const { checkpoint } = this.#options;
    if (checkpoint === undefined || this.trainer.trained.size === 0) return undefined;
    return await Checkpoint.write(checkpoint, this.trainer, {
      base: this.#base,
      settings: this.#settings,
      steps: this.trainer.steps,
      drawn: this.#drawn,
    });
  }

  dispose(): void {
    this.trainer.dispose();
  }
}

function schedule({ learningRate, warmup, totalSteps }: TrainingOptions) {
  const { learningRate: usualRate, warmupSteps } = TRAINER_DEFAULTS;
  return { learningRate: learningRate ?? usualRate, warmupSteps: warmup ?? warmupSteps, totalSteps };
}

/** `totalSteps` is no part of it: a run may be made longer. */
function settingsOf({ config, text }: TrainingStart, options: TrainingOptions): TrainingSettings {
  const { batch, accumulate, seed } = options;
  const { totalSteps: _, ...trainer } = { ...TRAINER_DEFAULTS, ...schedule(options) };
  const bytes = new Uint8Array(text.buffer, text.byteOffset, text.byteLength);
  const hash = createHash('sha256').update(bytes).digest('hex');
  return { text: hash, seed, batch, accumulate, context: config.context, ...trainer };
}
