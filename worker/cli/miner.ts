import { constants, setPriority } from 'node:os';
import { join } from 'node:path';
import { type Command, Option } from 'commander';
import { WANTED_BACKENDS, type WantedBackend } from '#shared/env.ts';
import { addKeystoreOptions, type CommandEnvironment, examples, numberOption } from '#worker/cli/command.ts';
import { minerReporter } from '#worker/cli/miner-report.ts';
import { addTrainingOptions, type TrainingFlags } from '#worker/cli/training-options.ts';
import { silentLog } from '#worker/log.ts';

const CACHE_BYTES = 4 * 2 ** 30;

interface MinerFlags extends TrainingFlags {
  readonly coordinator: string;
  readonly dataDir: string;
  readonly backend: WantedBackend;
  readonly steps?: number;
  /** Seconds. */
  readonly patience?: number;
  /** False by `--no-merge`. */
  readonly merge: boolean;
  readonly keystore?: string;
  readonly passwordFile?: string;
  readonly json: boolean;
}

/** `aiblock miner`: trains, submits, is paid. */
export function register(program: Command, environment: CommandEnvironment): void {
  const { settings } = environment;
  const command = program
    .command('miner')
    .summary('train the model and submit better weights')
    .description(
      'Trains from the head of the chain and submits weights that should pass the gate. When another miner moves the head, what was trained is added to it and judged again. Rewards go to the key in DATA-DIR/miner/key, which is made if it is missing: keep a copy of it; or to that of a wallet.',
    )
    .option('--coordinator <url>', 'address of the pool', settings.coordinatorUrl)
    .option('--data-dir <folder>', 'folder of the key and the cache', settings.dataDir)
    .addOption(
      new Option('--backend <name>', 'compute backend').choices(WANTED_BACKENDS).default(settings.backend),
    );
  addTrainingOptions(addKeystoreOptions(command))
    .option('--steps <n>', 'end after so many training steps (default: never)', numberOption(1, 1e9))
    .option(
      '--patience <seconds>',
      'training after which a submission is sent though judging it costs more than a hundredth of the tokens trained (default: 1800)',
      numberOption(1, 1e6),
    )
    .option(
      '--no-merge',
      'start again from the head of another miner, instead of adding what was trained to it',
    )
    .option('--json', 'one JSON object per line', false)
    .addHelpText(
      'after',
      examples(
        'aiblock miner',
        'aiblock miner --coordinator https://pool.example --learning-rate 0.001',
        'aiblock miner --file my-own-text.txt --batch 16 --json',
        'aiblock miner --keystore wallet.json',
        "aiblock miner --only 'transformer.h.3.*' --checkpoint ./state",
      ),
    )
    .action((flags: MinerFlags) => run(flags, environment));
}

async function run(flags: MinerFlags, environment: CommandEnvironment): Promise<void> {
  const { coordinator, dataDir, json, patience, ...options } = flags;
  const { now, random, signal } = environment;
  const reporter = minerReporter(environment, json);
  // Late: help and wrong usage must not wait for TensorFlow.js.
  const [
    { Miner },
    { chooseBackend, describeBackend },
    { startBackend },
    { ApiClient },
    { PayloadCache },
    { signingKey },
  ] = await Promise.all([
    import('#worker/train/miner.ts'),
    import('#worker/model/backend/choose.ts'),
    import('#worker/model/backend/start.ts'),
    import('#worker/client/api-client.ts'),
    import('#worker/client/payload-cache.ts'),
    import('#worker/wallet/signing-key.ts'),
  ]);
  const api = new ApiClient(coordinator);
  const key = await signingKey(flags, join(dataDir, 'miner', 'key'), environment);
  const payloads = await PayloadCache.open(
    { dir: join(dataDir, 'miner', 'cache'), maxBytes: CACHE_BYTES, now },
    api,
  );
  yieldToOthers();
  const backend = await chooseBackend(flags.backend, { log: silentLog, signal });
  for (const note of backend.notes) reporter.note(note);
  reporter.note(`computing with ${describeBackend(backend)}`);
  await startBackend(backend.name);
  const miner = new Miner(
    { ...options, backend: backend.name, patienceMs: patience && patience * 1_000 },
    { api, payloads, key, now, random, report: reporter.report },
  );
  try {
    await miner.run(signal);
  } finally {
    reporter.end();
  }
}

/** Training takes every core it gets: whoever answers or evaluates on the same machine goes first. */
function yieldToOthers(): void {
  try {
    setPriority(constants.priority.PRIORITY_BELOW_NORMAL);
  } catch {
    // Not allowed here: then it is one process among others.
  }
}
