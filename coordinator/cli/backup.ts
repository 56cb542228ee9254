import type { Command } from 'commander';
import type { CliEnvironment } from '#coordinator/cli/environment.ts';
import type { BackupList } from '#coordinator/repair/backup-list.ts';

interface BackupFlags {
  readonly dataDir: string;
  readonly withKeys?: true;
  readonly json?: true;
}

interface RestoreFlags {
  readonly dataDir: string;
  readonly replace?: true;
  readonly json?: true;
}

/** `aiblock backup` and `aiblock restore`. */
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
      '\nExamples:\n  $ aiblock backup /backup/monday\n  $ aiblock backup /vault/pool --with-keys\n  $ docker compose exec coordinator aiblock backup /data/backup-1\n',
    )
    .action((dir: string, flags: BackupFlags) => backup(dir, flags, environment));
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
    .action((dir: string, flags: RestoreFlags) => restore(dir, flags, environment));
}

async function backup(dir: string, flags: BackupFlags, environment: CliEnvironment): Promise<void> {
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

async function restore(dir: string, flags: RestoreFlags, environment: CliEnvironment): Promise<void> {
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

function described({ pool, at, files }: BackupList): string {
  const bytes = files.reduce((sum, file) => sum + file.bytes, 0);
  return [
    `${pool.name.replaceAll(/\p{Cc}+/gu, ' ')} at A${pool.height.A} and B${pool.height.B} of ${new Date(at).toISOString()}`,
    `model root ${pool.root}, ${pool.journal.seq} journal entries up to ${pool.journal.head}`,
    `${files.length} files of ${bytes.toLocaleString('en')} bytes`,
  ].join('\n  ');
}
