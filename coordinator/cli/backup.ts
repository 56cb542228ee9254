import type { Command } from 'commander';
import { described } from '#coordinator/cli/backup-text.ts';
import type { CliEnvironment } from '#coordinator/cli/environment.ts';

interface Flags {
  readonly dataDir: string;
  readonly withKeys?: true;
  readonly json?: true;
}

/** `aiblock backup`. */
export function register(program: Command, environment: CliEnvironment): void {
  const { settings } = environment;
  program
    .command('backup')
    .description(
      'Copy a pool, running or not, into a new folder: all that it acknowledged before. Every file is listed with its hash, and the copy is opened and read before it counts. The secret keys are left out unless asked for.',
    )
    .argument('<dir>', 'a new or empty folder')
    .option('--data-dir <dir>', 'folder of the pool', settings.dataDir)
    .option('--with-keys', "the pool's secret keys too: keep such a backup as you keep the keys")
    .option('--json', 'print one JSON object')
    .addHelpText(
      'after',
      '\nExamples:\n  $ aiblock backup /backup/monday\n  $ aiblock backup /vault/pool --with-keys\n  $ docker compose exec coordinator node coordinator/cli/aiblock.mjs backup /data/backup-1\n',
    )
    .action((dir: string, flags: Flags) => run(dir, flags, environment));
}

async function run(dir: string, flags: Flags, environment: CliEnvironment): Promise<void> {
  const { out, now } = environment;
  // Late: help and wrong usage must not wait for it.
  const { writeBackup } = await import('#coordinator/repair/backup.ts');
  const keys = flags.withKeys === true;
  const list = await writeBackup({ dataDir: flags.dataDir, dir, keys, now });
  if (flags.json) out(`${JSON.stringify({ dir, ...list.pool, keys, files: list.files.length })}\n`);
  else
    out(
      `${described(list)} in ${dir}\n${
        keys
          ? 'It holds the SECRET KEYS of the pool: whoever can read it can sign, pay and govern in its place.\n'
          : `It holds no keys. Nobody can go on with this chain without those in ${flags.dataDir}/keys: keep a copy of them in a safe place, apart from this one.\n`
      }`,
    );
}
