import type { Command } from 'commander';
import { described } from '#coordinator/cli/backup-text.ts';
import type { CliEnvironment } from '#coordinator/cli/environment.ts';

interface Flags {
  readonly dataDir: string;
  readonly replace?: true;
  readonly json?: true;
}

/** `aiblock restore`. */
export function register(program: Command, environment: CliEnvironment): void {
  const { settings } = environment;
  program
    .command('restore')
    .description(
      'Put a backup into a data folder that has no store, or set the one it has aside. Every file is checked by its hash, and the pool must be the one that was copied.',
    )
    .argument('<dir>', 'folder of the backup')
    .option('--data-dir <dir>', 'folder of the pool', settings.dataDir)
    .option('--replace', 'set the store that is there aside')
    .option('--json', 'print one JSON object')
    .addHelpText(
      'after',
      '\nExamples:\n  $ aiblock restore /backup/monday --data-dir ./data\n  $ aiblock restore /backup/monday --replace\n  $ aiblock verify --data-dir ./data        look before you start it\n',
    )
    .action((dir: string, flags: Flags) => run(dir, flags, environment));
}

async function run(dir: string, flags: Flags, environment: CliEnvironment): Promise<void> {
  const { out, now } = environment;
  const { restoreBackup } = await import('#coordinator/repair/restore.ts');
  const { dataDir, replace = false } = flags;
  const { list, setAside, keys } = await restoreBackup({ dir, dataDir, replace, now });
  if (flags.json) {
    out(`${JSON.stringify({ dataDir, ...list.pool, keys, setAside: setAside ?? null })}\n`);
    return;
  }
  out(`${described(list)} restored into ${dataDir}\n`);
  if (setAside !== undefined) out(`The store that was there lies in ${setAside}\n`);
  if (!keys)
    out(
      `There are no keys in ${dataDir}/keys: put those of the pool there before you start it. It can be read without them (aiblock verify).\n`,
    );
}
