import type { Command } from 'commander';
import type { CliEnvironment } from '#coordinator/cli/environment.ts';
import { ImportBar } from '#coordinator/cli/import-progress.ts';
import { SILENT } from '#coordinator/progress.ts';
import type { ReindexReport } from '#coordinator/repair/reindex.ts';
import { toHex } from '#shared/crypto/bytes.ts';

interface Flags {
  readonly dataDir: string;
  readonly json?: true;
}

/** `aiblock reindex`. */
export function register(program: Command, environment: CliEnvironment): void {
  program
    .command('reindex')
    .description(
      'Make anew all that follows from blocks, payloads, journal and share log: parameter index, balances, accounts, Merkle tree and the rest. These sources are audited first; where one of them is damaged nothing is changed, and a backup must be restored. The pool must not run.',
    )
    .option('--data-dir <dir>', 'folder of the pool', environment.settings.dataDir)
    .option('--json', 'print one JSON object')
    .addHelpText(
      'after',
      '\nExamples:\n  $ aiblock reindex\n  $ aiblock reindex --data-dir /srv/pool --json\n',
    )
    .action((flags: Flags) => run(flags, environment));
}

async function run({ dataDir, json }: Flags, environment: CliEnvironment): Promise<void> {
  const { out, now, signal } = environment;
  // Late: help and wrong usage must not wait for it.
  const { reindexFolder } = await import('#coordinator/repair/reindex.ts');
  const progress = json ? SILENT : new ImportBar(environment);
  const report = await reindexFolder(dataDir, now, { signal, progress });
  out(json ? `${JSON.stringify(asJson(report))}\n` : text(report));
}

function asJson({ lines, state, work, unsigned }: ReindexReport) {
  const { evaluation, grinding } = work;
  const places = [evaluation, grinding].map(({ seq, head }) => ({ seq, head: toHex(head) }));
  return { ...state, work: { evaluation: places[0], grinding: places[1] }, lines, unsigned };
}

function text({ lines, state, work, unsigned }: ReindexReport): string {
  const width = Math.max(...lines.map(({ what }) => what.length));
  const rows = lines.map(
    ({ what, count, changed }) =>
      `  ${what.padEnd(width)}  ${count.toLocaleString('en').padStart(12)}  ${changed ? 'MENDED' : 'as before'}`,
  );
  const { height, root, journal } = state;
  return [
    ...rows,
    '',
    `Heads A${height.A} and B${height.B}, model root ${root}`,
    `${journal.seq} journal entries, root ${journal.root}`,
    `${work.evaluation.seq} evaluations and ${work.grinding.seq} shares in the share log`,
    ...(unsigned > 0 ? [`${unsigned} transfers stand in the journal without their signature`] : []),
    'All roots are those that the blocks name.',
    '',
  ].join('\n');
}
