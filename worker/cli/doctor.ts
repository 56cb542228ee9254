import type { Command } from 'commander';
import { PoolError } from '#shared/errors/pool-error.ts';
import { type CommandEnvironment, examples } from '#worker/cli/command.ts';
import type { Finding } from '#worker/doctor/finding.ts';
import { workerToken } from '#worker/env.ts';
import { createLog } from '#worker/log.ts';

interface DoctorFlags {
  readonly coordinator: string;
  readonly token?: string;
  readonly dataDir: string;
  /** False by `--no-backends`. */
  readonly backends: boolean;
  readonly json: boolean;
}

const MARKS = { fine: 'ok   ', note: 'note ', fault: 'FAULT' } as const;

/** `aiblock doctor`: what keeps this machine from working for a pool. */
export function register(program: Command, environment: CommandEnvironment): void {
  const { settings } = environment;
  program
    .command('doctor')
    .summary('find out what keeps this machine from working')
    .description(
      'Checks Node.js, memory, GPU and driver, disk, key, the way to the coordinator, the clock, the token, the worker that runs and each compute backend, and says how to mend what is wrong. Nothing is changed, and no token is used up. Exit code 1 where there is a fault.',
    )
    .option('--coordinator <url>', 'address of the pool', settings.coordinatorUrl)
    .option('--token <token>', 'enrolment token (or AIBLOCK_WORKER_TOKEN)')
    .option('--data-dir <folder>', 'folder of the key and the cache', settings.dataDir)
    .option('--no-backends', 'leave out the self-tests of the backends, which take seconds')
    .option('--json', 'one JSON object', false)
    .addHelpText(
      'after',
      examples(
        'aiblock doctor',
        'aiblock doctor --coordinator wss://pool.example --token 5f1c…',
        'aiblock doctor --no-backends --json',
      ),
    )
    .action((flags: DoctorFlags) => run(flags, environment));
}

async function run(flags: DoctorFlags, environment: CommandEnvironment): Promise<void> {
  const { settings, now, signal, out, err } = environment;
  const { coordinator, dataDir, backends, json } = flags;
  const log = createLog({ level: settings.logLevel, json, now }, (line) => err(`${line}\n`));
  const token = await workerToken(flags.token, { ...settings, dataDir });
  // Late: help and wrong usage must not wait for it.
  const { examine } = await import('#worker/doctor/doctor.ts');
  const found: Finding[] = [];
  for await (const finding of examine({ coordinator, dataDir, token, backends }, { log, now, signal })) {
    found.push(finding);
    if (!json) out(`${text(finding)}\n`);
  }
  const faults = found.filter(({ state }) => state === 'fault');
  if (json) out(`${JSON.stringify({ healthy: faults.length === 0, findings: found })}\n`);
  if (!json && faults.length === 0)
    out('\nThis machine can work. `note` lines are worth knowing, and no reason not to begin.\n');
  if (faults.length > 0)
    throw new PoolError('UNAVAILABLE', `mend ${faults.map(({ check }) => check).join(', ')}, and call again`);
}

function text({ check, state, found, mend }: Finding): string {
  const line = `${MARKS[state]}  ${check.padEnd(18)} ${found}`;
  return mend === undefined ? line : `${line}\n       ${' '.repeat(18)} → ${mend}`;
}
