import type { Command } from 'commander';
import { type CliEnvironment, untilStopped } from '#coordinator/cli/environment.ts';
import { portOption } from '#coordinator/cli/port-option.ts';

interface Flags {
  readonly host: string;
  readonly port: number;
  readonly dataDir: string;
  readonly readOnly?: true;
  readonly initDev?: true;
}

export function register(program: Command, environment: CliEnvironment): void {
  const { settings } = environment;
  program
    .command('coordinator')
    .description('Run the coordinator alone: API, page, chains, ledger, and the gateway for workers.')
    .option('--host <host>', 'address to listen on', settings.host)
    .option('--port <port>', 'port to listen on; 0 takes a free one', portOption, settings.port)
    .option('--data-dir <dir>', 'folder of the pool', settings.dataDir)
    .option('--read-only', 'serve the stored chain for reading only: no Redis, no workers')
    .option('--init-dev', 'make the development network where the folder holds no chain')
    .addHelpText(
      'after',
      '\nPrints one line of JSON with its address when it is ready; the log goes to standard error.\n\nExamples:\n  $ aiblock coordinator --host 0.0.0.0\n  $ aiblock coordinator --read-only --port 0\n',
    )
    .action((flags: Flags) => run(flags, environment));
}

async function run(flags: Flags, environment: CliEnvironment): Promise<void> {
  // Late: help and wrong usage must not wait for it.
  const [{ createLog }, { startCoordinator }, { coordinatorOptions }] = await Promise.all([
    import('#coordinator/log.ts'),
    import('#coordinator/node.ts'),
    import('#coordinator/options.ts'),
  ]);
  const { settings, signal, out, err } = environment;
  const log = createLog(settings.logLevel, err);
  const options = coordinatorOptions(
    { ...settings, host: flags.host, port: flags.port, dataDir: flags.dataDir },
    { readOnly: flags.readOnly === true, initDev: flags.initDev === true },
  );
  const running = await startCoordinator(options, log);
  out(`${JSON.stringify({ url: running.url, network: running.networkId, height: running.height })}\n`);
  await untilStopped(signal);
  log.info('stopping');
  await running.close();
  log.info('stopped');
}
