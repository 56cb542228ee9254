import { availableParallelism, hostname, totalmem } from 'node:os';
import { join } from 'node:path';
import { versions } from 'node:process';
import { type Command, InvalidArgumentError, Option } from 'commander';
import { WANTED_BACKENDS, type WantedBackend } from '#shared/env.ts';
import { ROLES, type Role } from '#shared/protocol/worker.ts';
import {
  addKeystoreOptions,
  byteSizeOption,
  type CommandEnvironment,
  examples,
  listOption,
  numberOption,
  repeatable,
} from '#worker/cli/command.ts';
import { addStatus } from '#worker/cli/worker-status.ts';
import { httpBase } from '#worker/client/urls.ts';
import { workerToken } from '#worker/env.ts';
import { createLog } from '#worker/log.ts';
import { defaultThreads } from '#worker/mine/courtesy.ts';
import { WANTED_GRINDERS, type WantedGrinder } from '#worker/mine/wanted-grinder.ts';

const MAX_NAME_CHARS = 60;

interface WorkerFlags {
  readonly coordinator: readonly string[];
  readonly token?: string;
  readonly dataDir: string;
  readonly roles: Role[];
  readonly threads: number;
  readonly grinder: WantedGrinder;
  readonly backend: WantedBackend;
  readonly memoryBudget?: number;
  readonly devices?: readonly string[];
  readonly evaluators: number;
  readonly drainSeconds: number;
  /** False by `--no-status-port`. */
  readonly statusPort: number | false;
  readonly name: string;
  readonly keystore?: string;
  readonly passwordFile?: string;
  readonly ownerKeystore?: string;
  readonly ownerPasswordFile?: string;
  readonly json: boolean;
}

/** `aiblock worker`: lends this machine to a pool. */
export function register(program: Command, environment: CommandEnvironment): void {
  const { settings } = environment;
  const worker = program.command('worker').enablePositionalOptions();
  addKeystoreOptions(worker)
    .summary('lend this machine to a pool: evaluate, hash, answer')
    .description(
      'Attaches this machine to a pool over one outgoing connection. It evaluates submissions, hashes blocks and answers chats, and is paid for it. Its key is in DATA-DIR/worker/key, or in a wallet.',
    )
    .option(
      '--coordinator <url>',
      'address of the pool; given more than once, the next where one does not answer',
      repeatable(),
      [settings.coordinatorUrl],
    )
    .option('--token <token>', 'enrolment token, needed the first time (or AIBLOCK_WORKER_TOKEN)')
    .option('--data-dir <folder>', 'folder of the key and the cache', settings.dataDir)
    .option('--roles <list>', `what it does: ${ROLES.join(',')}`, listOption(ROLES), [...ROLES])
    .option('--threads <n>', 'hashing threads', numberOption(1, 256), defaultThreads(availableParallelism()))
    .addOption(
      new Option('--grinder <name>', 'what seeks nonces; auto: the fastest that hashes rightly here')
        .choices(WANTED_GRINDERS)
        .default('auto'),
    )
    .addOption(
      new Option('--backend <name>', 'compute backend').choices(WANTED_BACKENDS).default(settings.backend),
    )
    .addOption(
      new Option(
        '--memory-budget <size>',
        'weights in the memory of each computing process at most; a larger model is computed layer by layer (default: what the backend can take)',
      )
        .argParser(byteSizeOption)
        .default(settings.memoryBudgetBytes),
    )
    .option(
      '--devices <list>',
      'GPUs to compute on, by the numbers of nvidia-smi, or all, or cpu; list shows them (default: what the backend finds)',
      devicesOption,
    )
    .option('--evaluators <n>', 'evaluations at once on each device', numberOption(1, 16), 1)
    .option(
      '--drain-seconds <n>',
      'when it is stopped, what was begun may take so long; what is not finished then is given back',
      numberOption(0, 3_600),
      20,
    )
    .option(
      '--status-port <port>',
      'port of the status page and /metrics, for this machine alone; 0 takes a free one',
      numberOption(0, 65_535),
      0,
    )
    .option('--no-status-port', 'without status page and /metrics')
    .option('--name <name>', 'name that the pool shows', hostname().slice(0, MAX_NAME_CHARS))
    .option(
      '--owner-keystore <file>',
      'keystore, or key file, of the address you mine with: it signs that this worker is yours, and is paid for it; a token that names its owner needs none',
    )
    .option('--owner-password-file <file>', 'first line: password of that keystore; asked for otherwise')
    .option('--json', 'one JSON object per line', false)
    .addHelpText(
      'after',
      examples(
        'aiblock worker',
        'aiblock worker --coordinator wss://pool.example --token 5f1c…',
        'aiblock worker --coordinator wss://a.pool.example --coordinator wss://b.pool.example',
        'aiblock worker --devices 0,1 --evaluators 2 --roles evaluate',
        'aiblock worker --roles evaluate,chat --backend tensorflow --name attic',
        'aiblock worker --roles chat --memory-budget 2GiB',
        'aiblock worker status',
        'aiblock worker --owner-keystore ~/wallet.json',
        'aiblock worker --owner-keystore data/miner/key',
      ),
    )
    .action((flags: WorkerFlags) => run(flags, environment));
  addStatus(worker, environment);
}

async function run(flags: WorkerFlags, environment: CommandEnvironment): Promise<void> {
  if (flags.devices?.includes('list')) return listDevices(environment);
  const { settings, now, random, out, err, signal, version, memoryBytes } = environment;
  const { token: given, json, memoryBudget: memoryBudgetBytes, ownerKeystore, ...options } = flags;
  const { coordinator: coordinators, drainSeconds } = flags;
  const drainMs = drainSeconds * 1000;
  // Before a key is made and this machine is tested, which takes seconds.
  for (const coordinator of coordinators) httpBase(coordinator);
  const { signingKey } = await import('#worker/wallet/signing-key.ts');
  const key = await signingKey(flags, join(flags.dataDir, 'worker', 'key'), environment);
  const log = createLog({ level: settings.logLevel, json, now }, (line, serious) => {
    (serious ? err : out)(`${line}\n`);
  });
  const token = () => workerToken(given, { ...settings, dataDir: flags.dataDir });
  const machine = { cores: availableParallelism(), memoryBytes: totalmem(), node: versions.node };
  const owner = ownerKeystore === undefined ? undefined : await readOwner(ownerKeystore, flags, environment);
  const name = flags.name.slice(0, MAX_NAME_CHARS) || 'worker';
  // Late: help and wrong usage must not wait for it.
  const { runWorker } = await import('#worker/node.ts');
  await runWorker(
    { ...options, coordinators, drainMs, memoryBudgetBytes, name, software: `aiblock-pool/${version}` },
    { log, now, random, machine, key, owner, token, memoryBytes },
    signal,
  );
}

async function readOwner(path: string, flags: WorkerFlags, environment: CommandEnvironment) {
  const [{ readWallet }, { askPassword }] = await Promise.all([
    import('#worker/wallet/wallet-file.ts'),
    import('#worker/wallet/password.ts'),
  ]);
  const { stdin, err, signal } = environment;
  return readWallet(path, () =>
    askPassword({ file: flags.ownerPasswordFile, stdin, err, signal }, "The owner's password: "),
  );
}

/** Parser of `--devices`; which of them are there is known later. */
function devicesOption(text: string): string[] {
  const ids = [...new Set(text.split(',').map((id) => id.trim()))];
  if (!ids.every((id) => /^([0-9]{1,3}|cpu|all|list)$/.test(id)))
    throw new InvalidArgumentError('expected numbers of GPUs such as 0,1, or all, cpu or list.');
  return ids;
}

async function listDevices({ out }: CommandEnvironment): Promise<void> {
  const { CPU, readGpus } = await import('#worker/devices.ts');
  for (const { id, name, memoryBytes } of [...(await readGpus()), CPU])
    out(
      `${id.padEnd(5)}${name}${memoryBytes === undefined ? '' : `, ${(memoryBytes / 1e9).toFixed(1)} GB`}\n`,
    );
}
