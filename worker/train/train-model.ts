import { PoolError } from '#shared/errors/pool-error.ts';
import { safetensorsHeader } from '#shared/weights/safetensors.ts';
import { NewFolder } from '#worker/audit/new-folder.ts';
import { Checkpoint } from '#worker/train/checkpoint.ts';
import { loadCorpus } from '#worker/train/corpus.ts';
import { toBytes } from '#worker/train/tensor-bytes.ts';
import type { TrainSource } from '#worker/train/train-source.ts';
import { Training, type TrainingOptions } from '#worker/train/training.ts';

export interface TrainModelOptions extends TrainingOptions {
  /** Folder of the trained model. */
  readonly out: string;
  /** Replace files of the same names in a folder that is not empty. */
  readonly force: boolean;
  /** A text file of one's own to train on. */
  readonly file?: string | undefined;
  readonly saveMs: number;
}

export type TrainEvent =
  | {
      readonly type: 'ready';
      readonly model: string;
      readonly root: string;
      readonly text: string;
      readonly trainingTokens: number;
      readonly tensors: number;
      readonly trained: number;
      /** Steps that a checkpoint has done already. */
      readonly step: number;
      readonly steps: number;
    }
  | {
      readonly type: 'step';
      readonly step: number;
      /** Mean cross-entropy of the step's batches, in nats. */
      readonly loss: number;
      readonly tokensPerSecond: number;
      readonly etaSeconds: number;
      readonly learningRate: number;
      readonly gradientNorm: number;
    }
  | { readonly type: 'checkpoint'; readonly step: number; readonly path: string }
  | { readonly type: 'written'; readonly dir: string; readonly files: NewFolder['files'] };

interface Watch {
  readonly report: (event: TrainEvent) => void;
  readonly now: () => number;
  readonly signal: AbortSignal;
}

/** Of the time a step takes, how much the newest says. */
const NEWEST = 0.1;
/** Steps in a row that change nothing: the loss will not come back. */
const MOST_LOST = 20;

/**
 * Trains a model for `totalSteps`, those of a checkpoint among them, and writes it as a Hugging Face folder with the
 * dtypes it came in. Aborted, it writes its checkpoint and no folder. LOSS_NOT_FINITE where training has blown up.
 */
export async function trainModel(
  source: TrainSource,
  options: TrainModelOptions,
  watch: Watch,
): Promise<void> {
  const folder = await NewFolder.begin(options.out, options.force);
  try {
    const { config, tensors, root, tokenizer } = source;
    const corpus = await loadCorpus(
      { tokenizer, tokenizerConfig: source.files.get('tokenizer_config.json') },
      options.file === undefined ? {} : { file: options.file },
    );
    const found = options.checkpoint === undefined ? undefined : await Checkpoint.find(options.checkpoint);
    const training = await Training.begin({ config, tensors, root, text: corpus.train }, options, found);
    try {
      watch.report({
        type: 'ready',
        model: source.name,
        root,
        text: corpus.source,
        trainingTokens: corpus.train.length,
        tensors: tensors.size,
        trained: training.trainer.trained.size,
        step: training.trainer.steps,
        steps: options.totalSteps,
      });
      await run(training, options, watch);
      if (watch.signal.aborted) return;
      await write(folder, source, await training.trainer.weights());
    } finally {
      training.dispose();
    }
    await folder.publish();
    watch.report({ type: 'written', dir: folder.dir, files: folder.files });
  } finally {
    await folder.discard();
  }
}

async function run(
  training: Training,
  { totalSteps, saveMs }: TrainModelOptions,
  { report, now, signal }: Watch,
): Promise<void> {
  const { trainer } = training;
  const save = async () => {
    const path = await training.save();
    if (path !== undefined) report({ type: 'checkpoint', step: trainer.steps, path });
  };
  let [savedAt, stepMs, lost] = [now(), 0, 0];
  while (trainer.steps < totalSteps && !signal.aborted) {
    const before = trainer.steps;
    const { loss, tokens, ms, learningRate, gradientNorm } = await training.step();
    lost = trainer.steps === before ? lost + 1 : 0;
    if (lost === MOST_LOST)
      throw new PoolError('LOSS_NOT_FINITE', `no finite loss for ${lost} steps: try a smaller --lr`);
    stepMs = stepMs === 0 ? ms : stepMs + NEWEST * (ms - stepMs);
    report({
      type: 'step',
      step: trainer.steps,
      loss,
      tokensPerSecond: (tokens * 1000) / Math.max(1, ms),
      etaSeconds: ((totalSteps - trainer.steps) * stepMs) / 1000,
      learningRate,
      gradientNorm,
    });
    if (now() - savedAt < saveMs) continue;
    await save();
    savedAt = now();
  }
  await save();
}

async function write(
  folder: NewFolder,
  { files, refs, root }: TrainSource,
  weights: ReadonlyMap<string, Float32Array>,
): Promise<void> {
  for (const [name, text] of files) await folder.write(name, [new TextEncoder().encode(text)]);
  const { header, order } = safetensorsHeader(refs, { format: 'pt', aiblock_base: root });
  const content = function* () {
    yield header;
    for (const { name, dtype } of order) yield toBytes(dtype, weights.get(name) as Float32Array);
  };
  // Of weights in other files, whoever loads the folder would read the wrong ones.
  folder.refuseOthers(/\.safetensors(\.index\.json)?$/, ['model.safetensors']);
  await folder.write('model.safetensors', content());
}
