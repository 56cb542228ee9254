import type { Command } from 'commander';
import { PoolError } from '#shared/errors/pool-error.ts';
import type { LedgerReport } from '#worker/audit/ledger-audit.ts';
import { type CommandEnvironment, examples, folderOption, poolAddress } from '#worker/cli/command.ts';
import { addAdjust } from '#worker/cli/ledger-adjust.ts';

interface AuditFlags {
  readonly coordinator?: string;
  readonly dataDir?: string;
  readonly json: boolean;
}

/** `aiblock ledger`: what concerns the money of a pool as a whole. */
export function register(program: Command, environment: CommandEnvironment): void {
  const { settings } = environment;
  const ledger = program
    .command('ledger')
    .summary('audit the money of a pool, make good what went wrong')
    .addHelpText(
      'after',
      examples(
        'aiblock ledger audit',
        'aiblock ledger adjust 0x70997970C51812dc3A010C7d01b50e0d17dc79C8 2 --reason "lost shares of 3 May"',
      ),
    );
  addAdjust(ledger, environment);
  ledger
    .command('audit')
    .summary('compute every reward anew and print what differs')
    .description(
      'Computes every reward of a pool anew from its Meta blocks, its seals, its logs of work and its journal, and prints every difference to what was paid. Exit code 1 where there is one, or where a log, the journal or a chain is broken.',
    )
    .option('--coordinator <url>', `address of the pool (default: ${settings.coordinatorUrl})`)
    .addOption(folderOption(settings))
    .option('--json', 'one JSON object', false)
    .addHelpText(
      'after',
      examples(
        'aiblock ledger audit',
        'aiblock ledger audit --coordinator https://pool.example',
        'aiblock ledger audit --data-dir /srv/pool --json',
      ),
    )
    .action((flags: AuditFlags) => audit(flags, environment));
}

async function audit(flags: AuditFlags, environment: CommandEnvironment): Promise<void> {
  const { signal, now, terminal, out, err, settings } = environment;
  // Late: help and wrong usage must not wait for all of it.
  const [{ openPool }, { HttpSource }, { ProgressBar, SILENT }, { auditLedger }, report] = await Promise.all([
    import('#worker/audit/open-pool.ts'),
    import('#worker/audit/source.ts'),
    import('#worker/audit/progress.ts'),
    import('#worker/audit/ledger-audit.ts'),
    import('#worker/audit/ledger-report.ts'),
  ]);
  const progress = flags.json || !terminal ? SILENT : new ProgressBar(err, now);
  const pool = await openPool(poolAddress(flags, settings), signal);
  try {
    if (pool.note !== undefined && !flags.json) err(`${pool.note}\n`);
    const found = await auditLedger({ source: new HttpSource(pool.api, signal), progress, signal, now });
    out(flags.json ? `${JSON.stringify(report.ledgerReportJson(found))}\n` : report.ledgerReportText(found));
    refuse(found);
  } finally {
    await pool.close();
  }
}

function refuse({ finding, differences }: LedgerReport): void {
  if (finding) throw new PoolError(finding.code, `${finding.at}: ${finding.message}`, { at: finding.at });
  if (differences.length > 0)
    throw new PoolError('JOURNAL', `${differences.length} moves of rewards are not those that follow`);
}
