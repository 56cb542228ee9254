import { type Command, Option } from 'commander';
import { fromHex } from '#shared/crypto/bytes.ts';
import { WANTED_BACKENDS, type WantedBackend } from '#shared/env.ts';
import { must, PoolError } from '#shared/errors/pool-error.ts';
import type { BlockReport } from '#worker/audit/block-audit.ts';
import type { PoolAuditDependencies, PoolReport } from '#worker/audit/pool-audit.ts';
import {
  type CommandEnvironment,
  examples,
  folderOption,
  hashOption,
  numberOption,
  poolAddress,
  rangeOption,
} from '#worker/cli/command.ts';

interface VerifyFlags {
  readonly coordinator?: string;
  readonly dataDir?: string;
  readonly backend: WantedBackend;
  /** `--no-payloads`. */
  readonly payloads: boolean;
  /** True by `--loss`, false by `--no-loss`. */
  readonly loss?: boolean;
  readonly sample?: number;
  readonly lossRange?: { first: number; last: number };
  readonly json: boolean;
  /** A file with a proof, and the hash of the block that is trusted. */
  readonly proof?: string;
  readonly hash?: string;
}

interface Wanted {
  readonly chain: 'A' | 'B' | 'both';
  readonly index: number | undefined;
}

/** `aiblock verify`: audits a pool, or one block of it. */
export function register(program: Command, environment: CommandEnvironment): void {
  const { settings } = environment;
  program
    .command('verify')
    .summary('audit a pool, or one block, believing nothing')
    .description(
      'Audits a pool over its public API: both chains, payloads, parameter index, model root, journal, rewards and balances. With a chain and a height it shows that block, checks it and evaluates the losses of its submission again. Exit code 1 and the first fault where something does not hold.',
    )
    .argument('[chain]', 'A (rules) or B (parameters)')
    .argument('[index]', 'height of one block')
    .option('--coordinator <url>', `address of the pool (default: ${settings.coordinatorUrl})`)
    .addOption(folderOption(settings))
    .option('--no-payloads', 'leave out the hashes of payloads')
    .option('--loss', 'evaluate the losses of every submission again: slow')
    .option('--no-loss', 'do not evaluate the losses of the block')
    .option('--sample <n>', 'evaluate the losses of so many submissions again', numberOption(1, 1e9))
    .option(
      '--loss-range <first-last>',
      'evaluate the losses of those sealed at these heights again',
      rangeOption,
    )
    .addOption(
      new Option('--backend <name>', 'compute backend').choices(WANTED_BACKENDS).default(settings.backend),
    )
    .option('--proof <file>', 'check a proof that `aiblock proof` made, offline, instead of a pool')
    .option('--hash <hex>', 'hash of the block that a proof must rest on', hashOption)
    .option('--json', 'one JSON object', false)
    .addHelpText(
      'after',
      examples(
        'aiblock verify                          the whole pool',
        'aiblock verify --sample 3               and the losses of three submissions',
        'aiblock verify --loss-range 60-300      and of all that were sealed at B60 to B300',
        'aiblock verify B 60                     one block, with its losses',
        'aiblock verify A 0 --json               the rules, for a program to read',
        'aiblock verify --coordinator https://pool.example --no-payloads',
        'aiblock verify --proof entry-17.json --hash 00004f…   a proof, with nothing but a block hash',
      ),
    )
    .action((chain: string | undefined, index: string | undefined, flags: VerifyFlags) =>
      flags.proof === undefined && flags.hash === undefined
        ? run(wantedOf(chain, index), flags, environment)
        : checkProof(flags, environment),
    );
}

function wantedOf(chain: string | undefined, index: string | undefined): Wanted {
  must(
    chain === undefined || /^[ABab]$/.test(chain),
    'OPTION',
    () => `chain: expected A or B, got ${JSON.stringify(chain)}`,
  );
  must(
    index === undefined || /^[0-9]{1,15}$/.test(index),
    'OPTION',
    () => `index: expected the height of a block, got ${JSON.stringify(index)}`,
  );
  const name = chain?.toUpperCase() as 'A' | 'B' | undefined;
  return { chain: name ?? 'both', index: index === undefined ? undefined : Number(index) };
}

/** No pool is asked, and nothing else is read. */
async function checkProof(flags: VerifyFlags, environment: CommandEnvironment): Promise<void> {
  const { proof } = flags;
  must(proof, 'OPTION', '--hash: expected --proof FILE with it');
  const [{ readProofFile }, { verifyProof }, { provenJson, provenText }] = await Promise.all([
    import('#worker/audit/proof-file.ts'),
    import('#shared/block/verify-proof.ts'),
    import('#worker/audit/proof-text.ts'),
  ]);
  const trusted = flags.hash === undefined ? undefined : fromHex(flags.hash, 32, '--hash');
  const proven = verifyProof(await readProofFile(proof), trusted);
  environment.out(
    flags.json ? `${JSON.stringify(provenJson(proven))}\n` : provenText(proven, trusted !== undefined),
  );
}

async function run(wanted: Wanted, flags: VerifyFlags, environment: CommandEnvironment): Promise<void> {
  const { signal, now, random, terminal, err, settings } = environment;
  // Late: help and wrong usage must not wait for all of it.
  const [{ openPool }, { HttpSource }, { AuditEvaluator }, { ProgressBar, SILENT }] = await Promise.all([
    import('#worker/audit/open-pool.ts'),
    import('#worker/audit/source.ts'),
    import('#worker/audit/evaluator.ts'),
    import('#worker/audit/progress.ts'),
  ]);
  const quiet = flags.json || !terminal;
  const progress = quiet ? SILENT : new ProgressBar(err, now);
  const note = (text: string) => {
    progress.end();
    if (!flags.json) err(`${text}\n`);
  };
  const pool = await openPool(poolAddress(flags, settings), signal);
  const { coordinator } = pool;
  const evaluator = new AuditEvaluator({ coordinator, backend: flags.backend, now, note }, signal);
  try {
    if (pool.note !== undefined) note(pool.note);
    const source = new HttpSource(pool.api, signal);
    await audit(wanted, flags, {
      environment,
      dependencies: { source, progress, signal, now, random, evaluator: () => evaluator.get() },
    });
  } finally {
    await evaluator.close();
    await pool.close();
  }
}

interface Run {
  readonly environment: CommandEnvironment;
  readonly dependencies: PoolAuditDependencies;
}

async function audit(wanted: Wanted, flags: VerifyFlags, run: Run): Promise<void> {
  const { chain, index } = wanted;
  const { payloads, json } = flags;
  const { out } = run.environment;
  const [{ auditPool }, { auditBlock }, text, asJson] = await Promise.all([
    import('#worker/audit/pool-audit.ts'),
    import('#worker/audit/block-audit.ts'),
    import('#worker/audit/report-text.ts'),
    import('#worker/audit/report-json.ts'),
  ]);
  let report: PoolReport | BlockReport;
  if (index !== undefined && chain !== 'both') {
    const options = { chain, index, payload: payloads, loss: flags.loss !== false };
    const one = await auditBlock(options, run.dependencies);
    out(json ? `${JSON.stringify(asJson.blockReportJson(one))}\n` : text.blockReportText(one));
    report = one;
  } else {
    const { lossRange, sample } = flags;
    const every = flags.loss === true || (lossRange !== undefined && sample === undefined);
    const losses = every ? Number.MAX_SAFE_INTEGER : (sample ?? 0);
    const whole = await auditPool({ chain, payloads, losses, lossRange }, run.dependencies);
    out(json ? `${JSON.stringify(asJson.poolReportJson(whole))}\n` : text.poolReportText(whole));
    report = whole;
  }
  if (report.finding) {
    const { at, code, message } = report.finding;
    throw new PoolError(code, `${at}: ${message}`, { at });
  }
}
