import { join } from 'node:path';
import { type Command, Option } from 'commander';
import { WANTED_BACKENDS, type WantedBackend } from '#shared/env.ts';
import { type CommandEnvironment, examples, numberOption } from '#worker/cli/command.ts';
import { trainReporter } from '#worker/cli/train-report.ts';
import { addTrainingOptions, type TrainingFlags } from '#worker/cli/training-options.ts';
import { silentLog } from '#worker/log.ts';

const CACHE_BYTES = 4 * 2 ** 30;
const SAVE_MS = 60_000;
/** Two runs with the same options are the same. */
const USUAL_SEED = 1;

interface TrainFlags extends TrainingFlags {
  readonly out: string;
  readonly steps: number;
  readonly model?: string;
  readonly coordinator: string;
  readonly dataDir: string;
  readonly backend: WantedBackend;
  readonly force: boolean;
  readonly json: boolean;
}

/** `aiblock train`: better weights without a pool's hurry. */
export function register(program: Command, environment: CommandEnvironment): void {
  const { settings } = environment;
  const command = program
    .command('train')
    .summary('train a model and write it as a folder')
    .description(
      'Trains the model at the head of the pool, or a Hugging Face folder, on a text for some steps and writes it as a folder that transformers loads and `aiblock upload` submits. With --checkpoint it can be interrupted at any time and goes on where it was.',
    )
    .requiredOption('--out <folder>', 'a new or empty folder for the trained model')
    .requiredOption(
      '--steps <n>',
      'steps of the whole run, those of a checkpoint among them',
      numberOption(1, 1e9),
    )
    .option('--model <folder>', 'train this model instead of the head of the pool')
    .option('--coordinator <url>', 'address of the pool', settings.coordinatorUrl)
    .option('--data-dir <folder>', 'folder of the cache', settings.dataDir)
    .addOption(
      new Option('--backend <name>', 'compute backend').choices(WANTED_BACKENDS).default(settings.backend),
    );
  addTrainingOptions(command)
    .option('--force', 'replace files of the same names in a folder that is not empty', false)
    .option('--json', 'one JSON object per line', false)
    .addHelpText(
      'after',
      examples(
        'aiblock train --out ./better --steps 500',
        'aiblock train --out ./better --steps 5000 --file my-own-text.txt --checkpoint ./state',
        "aiblock train --model ./smollm --out ./tuned --steps 200 --only 'model.layers.29.*' --lr 1e-4 --accumulate 8",
      ),
    )
    .action((flags: TrainFlags) => run(flags, environment));
}

async function run(flags: TrainFlags, environment: CommandEnvironment): Promise<void> {
  const { now, signal } = environment;
  const reporter = trainReporter(environment, flags.json);
  // Late: help and wrong usage must not wait for TensorFlow.js.
  const [{ trainModel }, { folderSource }, { startBackend }, { chooseBackend, describeBackend }] =
    await Promise.all([
      import('#worker/train/train-model.ts'),
      import('#worker/train/train-source.ts'),
      import('#worker/model/backend/start.ts'),
      import('#worker/model/backend/choose.ts'),
    ]);
  const { model, batchSize: batch, steps: totalSteps, seed = USUAL_SEED, ...options } = flags;
  const source = model === undefined ? await headOf(flags, environment) : await folderSource(model);
  const choice = await chooseBackend(flags.backend, { log: silentLog, signal });
  for (const note of [...choice.notes, `computing with ${describeBackend(choice)}`]) reporter.note(note);
  await startBackend(choice.name);
  try {
    await trainModel(
      source,
      { ...options, batch, totalSteps, seed, saveMs: SAVE_MS },
      { report: reporter.report, now, signal },
    );
  } finally {
    reporter.end();
  }
}

async function headOf({ coordinator, dataDir }: TrainFlags, { now, signal }: CommandEnvironment) {
  const [{ poolSource }, { ApiClient }, { PayloadCache }] = await Promise.all([
    import('#worker/train/train-source.ts'),
    import('#worker/client/api-client.ts'),
    import('#worker/client/payload-cache.ts'),
  ]);
  const api = new ApiClient(coordinator);
  const dir = join(dataDir, 'miner', 'cache');
  const payloads = await PayloadCache.open({ dir, maxBytes: CACHE_BYTES, now }, api);
  return poolSource({ api, payloads }, signal);
}
