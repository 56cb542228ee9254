import { type Command, Option } from 'commander';
import { must } from '#shared/errors/pool-error.ts';
import {
  type CommandEnvironment,
  examples,
  folderOption,
  numberOption,
  poolAddress,
} from '#worker/cli/command.ts';

interface ProofFlags {
  readonly coordinator?: string;
  readonly dataDir?: string;
  readonly tensor?: string;
  readonly block?: number;
}

/** `aiblock proof`: what shows a journal entry or a tensor to somebody who knows nothing but a block's hash. */
export function register(program: Command, environment: CommandEnvironment): void {
  const { settings } = environment;
  program
    .command('proof')
    .summary('a proof of a journal entry or a tensor, to be checked offline')
    .description(
      'Prints a proof that a journal entry, or a tensor of the model, stands under a block of chain B. `aiblock verify --proof FILE` checks it anywhere, with nothing else than the hash of that block. It is checked here before it is printed.',
    )
    .argument('[entry]', 'number of a journal entry')
    .option('--tensor <name>', 'a tensor of the model at the head instead')
    .addOption(
      new Option('--block <height>', 'B height of the seal that is to prove the entry (default: the newest)')
        .argParser(numberOption(0, Number.MAX_SAFE_INTEGER))
        .conflicts('tensor'),
    )
    .option('--coordinator <url>', `address of the pool (default: ${settings.coordinatorUrl})`)
    .addOption(folderOption(settings))
    .addHelpText(
      'after',
      examples(
        'aiblock proof 17 > entry-17.json',
        'aiblock proof 17 --block 207 > entry-17.json     by an older seal, whose hash a friend knows',
        'aiblock proof --tensor transformer.wte.weight > wte.json',
        'aiblock verify --proof entry-17.json --hash 00004f…',
      ),
    )
    .action((entry: string | undefined, flags: ProofFlags) => run(pathOf(entry, flags), flags, environment));
}

function pathOf(entry: string | undefined, { tensor, block }: ProofFlags): string {
  must(
    (entry === undefined) !== (tensor === undefined),
    'OPTION',
    'expected either the number of an entry or --tensor NAME',
  );
  if (tensor !== undefined) return `proof/tensor/${encodeURIComponent(tensor)}`;
  must(
    entry !== undefined && /^[0-9]{1,15}$/.test(entry),
    'OPTION',
    () => `entry: expected the number of a journal entry, got ${JSON.stringify(entry)}`,
  );
  return `proof/entry/${entry}${block === undefined ? '' : `?height=${block}`}`;
}

async function run(path: string, flags: ProofFlags, environment: CommandEnvironment): Promise<void> {
  const { signal, out, err, settings } = environment;
  // Late: help and wrong usage must not wait for all of it.
  const [{ openPool }, { proofSchema }, { verifyProof }] = await Promise.all([
    import('#worker/audit/open-pool.ts'),
    import('#shared/api/proof-schemas.ts'),
    import('#shared/block/verify-proof.ts'),
  ]);
  const pool = await openPool(poolAddress(flags, settings), signal);
  try {
    if (pool.note !== undefined) err(`${pool.note}\n`);
    const proof = await pool.api.json(path, proofSchema, { signal });
    verifyProof(proof);
    out(`${JSON.stringify(proof)}\n`);
  } finally {
    await pool.close();
  }
}
