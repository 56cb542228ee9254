import { Checkpoint } from '#worker/train/checkpoint.ts';
import { type Corpus, loadCorpus } from '#worker/train/corpus.ts';
import type { MinerEvent } from '#worker/train/miner-events.ts';
import type { Head } from '#worker/train/miner-head.ts';
import { Training } from '#worker/train/training.ts';

/** Without `steps`, the learning rate reaches its floor here and stays. */
const USUAL_STEPS = 10_000;

/** How a miner is told to train. */
export interface MinerTrainingOptions {
  readonly batchSize: number;
  /** Batches whose gradients are added up for one step; 1 unless given. */
  readonly accumulate?: number | undefined;
  /** The trainer's own where it is left out; as is the next. */
  readonly learningRate?: number | undefined;
  readonly warmup?: number | undefined;
  /** Stop after so many; train on for ever where it is left out. */
  readonly steps?: number | undefined;
  /** Order of the data; the checkpoint's, or any, where it is left out. */
  readonly seed?: number | undefined;
  /** Patterns of the tensors to train; all of them where it is left out. */
  readonly only?: readonly string[] | undefined;
  /** Folder of the checkpoint. */
  readonly checkpoint?: string | undefined;
  /** A text file of one's own to train on. */
  readonly file?: string | undefined;
}

/**
 * Begins to train from the head; from the checkpoint where there is one and the head is still its base. CHECKPOINT
 * where it is damaged, or was made with other options.
 */
export async function trainFromHead(
  head: Head,
  options: MinerTrainingOptions,
  { report, random }: { report: (event: MinerEvent) => void; random: () => number },
): Promise<{ training: Training; corpus: Corpus }> {
  const { config, manifest } = head.meta;
  const { batchSize: batch, accumulate = 1, steps = USUAL_STEPS, only = [], file, checkpoint } = options;
  const corpus = await loadCorpus(
    { tokenizer: manifest.tokenizer, tokenizerConfig: manifest.tokenizer_config },
    file === undefined ? {} : { file },
  );
  const { root } = head.view;
  const found = checkpoint === undefined ? undefined : await Checkpoint.find(checkpoint);
  const current = found?.progress.base === root ? found : undefined;
  const seed = options.seed ?? current?.progress.settings.seed ?? Math.floor(random() * 2 ** 32);
  const training = await Training.begin(
    { config, tensors: head.tensors, root, text: corpus.train },
    { ...options, batch, accumulate, only, seed, totalSteps: steps },
    current,
  );
  if (found) {
    report({ type: 'checkpoint', step: found.progress.steps, state: current ? 'resumed' : 'outdated' });
  }
  return { training, corpus };
}
