import { type Command, Option } from 'commander';
import { numberOption } from '#worker/cli/command.ts';

/** Flags by which a person says how to train. */
export interface TrainingFlags {
  readonly batchSize: number;
  readonly accumulate: number;
  readonly learningRate?: number;
  readonly warmup?: number;
  readonly seed?: number;
  readonly only: readonly string[];
  readonly checkpoint?: string;
  readonly file?: string;
}

export function addTrainingOptions(command: Command): Command {
  return command
    .option('--file <text>', 'train on this UTF-8 text instead of the training chapters')
    .option(
      '--batch, --batch-size <n>',
      'sequences whose gradients are computed together',
      numberOption(1, 4096),
      4,
    )
    .option('--accumulate <n>', 'batches whose gradients are added up for one step', numberOption(1, 4096), 1)
    .option(
      '--lr, --learning-rate <rate>',
      'highest learning rate (default: the trainer’s)',
      numberOption(1e-8, 1, 'any'),
    )
    .option(
      '--warmup <steps>',
      'steps in which the learning rate rises to it (default: the trainer’s)',
      numberOption(0, 1e6),
    )
    .option('--seed <n>', 'order of the data', numberOption(0, 2 ** 32 - 1))
    .addOption(
      new Option(
        '--only <pattern>',
        "train these tensors alone, such as 'model.layers.3.*'; may be given several times",
      )
        .argParser((pattern: string, before: readonly string[]) => [...before, pattern])
        .default([], 'all of them'),
    )
    .option('--checkpoint <folder>', 'keep the state of training there, and go on from it after a restart');
}
