import type { Command } from 'commander';
import { PoolError } from '#shared/errors/pool-error.ts';
import { type CommandEnvironment, examples } from '#worker/cli/command.ts';

interface StatusFlags {
  readonly dataDir: string;
  readonly json: boolean;
}

const TIMEOUT_MS = 10_000;

/** `aiblock worker status`: what the worker of this machine says of itself. */
export function addStatus(worker: Command, environment: CommandEnvironment): void {
  worker
    .command('status')
    .summary('what the worker of this machine does and earns')
    .description(
      'Shows devices, rates, work, earnings and the last trouble of the worker that runs on this data folder. The same stands on its status page, whose address the worker prints at its start.',
    )
    .option('--data-dir <folder>', 'folder of the worker', environment.settings.dataDir)
    .option('--json', 'one JSON object', false)
    .addHelpText('after', examples('aiblock worker status', 'aiblock worker status --json'))
    .action((flags: StatusFlags) => show(flags, environment));
}

async function show({ dataDir, json }: StatusFlags, { out, now }: CommandEnvironment): Promise<void> {
  // Late: help and wrong usage must not wait for it.
  const [{ readAddress, statusFile }, { workerStatusSchema }, { statusLines }] = await Promise.all([
    import('#worker/status/status-file.ts'),
    import('#worker/status/status.ts'),
    import('#worker/status/lines.ts'),
  ]);
  const url = await readAddress(statusFile(dataDir));
  const response = await fetch(new URL('/status', url), { signal: AbortSignal.timeout(TIMEOUT_MS) }).catch(
    (cause: unknown) => {
      throw new PoolError(
        'UNAVAILABLE',
        `the worker at ${url} does not answer: it has ended, or hangs`,
        {},
        { cause },
      );
    },
  );
  const status = workerStatusSchema.parse(await response.json());
  if (json) return out(`${JSON.stringify(status)}\n`);
  for (const [what, text] of [...statusLines(status, now()), ['status page', url] as const])
    out(`${what.padEnd(20)}${text.replaceAll(/\p{Cc}+/gu, ' ')}\n`);
}
