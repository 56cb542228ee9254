import { join } from 'node:path';
import type { Command } from 'commander';
import type { WorkUnit } from '#shared/block/work-log.ts';
import { fromHex, toHex } from '#shared/crypto/bytes.ts';
import { PoolError } from '#shared/errors/pool-error.ts';
import { type CommandEnvironment, examples, numberOption } from '#worker/cli/command.ts';

interface ReceiptsFlags {
  readonly coordinator: string;
  readonly dataDir: string;
  readonly limit: number;
  readonly check: boolean;
  readonly json: boolean;
}

/** `aiblock receipts`: what the pool signed for of this worker's work. */
export function register(program: Command, environment: CommandEnvironment): void {
  const { settings } = environment;
  program
    .command('receipts')
    .summary('show what the pool signed for of this worker’s work')
    .description(
      'Lists the receipts of the worker in DATA-DIR: every share and every evaluation that the pool credited, with its signature. With --check each is held against the pool: its key, and its log of work. Exit code 1 where one does not hold.',
    )
    .option('--coordinator <url>', 'address of the pool', settings.coordinatorUrl)
    .option('--data-dir <folder>', 'folder of the worker', settings.dataDir)
    .option('--limit <n>', 'the newest so many', numberOption(1, 1_000_000), 20)
    .option('--check', 'hold them against the pool', false)
    .option('--json', 'one JSON object per line', false)
    .addHelpText(
      'after',
      examples('aiblock receipts', 'aiblock receipts --check --limit 1000', 'aiblock receipts --json'),
    )
    .action((flags: ReceiptsFlags) => run(flags, environment));
}

async function run(flags: ReceiptsFlags, { out, err, signal }: CommandEnvironment): Promise<void> {
  // Late: help and wrong usage must not wait for it.
  const [{ readReceipts }, { decodeUnit }] = await Promise.all([
    import('#worker/client/receipt-book.ts'),
    import('#shared/block/work-log.ts'),
  ]);
  const all = await readReceipts(join(flags.dataDir, 'worker', 'receipts.jsonl'));
  const units = all.map(({ unit }) => decodeUnit(fromHex(unit, unit.length / 2)));
  if (!flags.json) out(`${all.length} receipts, ${totals(units)}\n`);
  for (const unit of units.slice(-flags.limit))
    out(`${flags.json ? JSON.stringify(jsonOf(unit)) : lineOf(unit)}\n`);
  if (!flags.check) return;
  const [{ checkReceipts }, { HttpSource }, { ApiClient }, { findingOf }] = await Promise.all([
    import('#worker/audit/receipts.ts'),
    import('#worker/audit/source.ts'),
    import('#worker/client/api-client.ts'),
    import('#worker/audit/finding.ts'),
  ]);
  const source = new HttpSource(new ApiClient(flags.coordinator), signal);
  const checked = checkReceipts(source, all.slice(-flags.limit)).catch((error: unknown) => {
    const finding = findingOf(error);
    throw finding ? new PoolError(finding.code, `${finding.at}: ${finding.message}`) : error;
  });
  const { length } = await checked;
  err(`${length} receipts checked: all are signed by the pool and stand in its log\n`);
}

function totals(units: readonly WorkUnit[]): string {
  const of = (kind: WorkUnit['kind']) =>
    units.reduce((sum, unit) => (unit.kind === kind ? sum + unit.credit : sum), 0n).toLocaleString('en');
  return `credit of ${of('grinding')} hashes and ${of('evaluation')} tokens × parameters`;
}

function jsonOf({ kind, seq, at, address, credit, ref }: WorkUnit) {
  return { kind, seq, at, address, credit: credit.toString(), ref: toHex(ref) };
}

function lineOf({ kind, seq, at, credit, ref }: WorkUnit): string {
  const time = new Date(at).toISOString().slice(0, 19).replace('T', ' ');
  return `${time}  ${kind.padEnd(10)} ${String(seq).padStart(8)}  ${credit.toLocaleString('en').padStart(18)}  ${toHex(ref)}`;
}
