import { type Command, InvalidArgumentError } from 'commander';
import { type CliEnvironment, untilStopped } from '#coordinator/cli/environment.ts';
import { portOption } from '#coordinator/cli/port-option.ts';
import { must } from '#shared/errors/pool-error.ts';

interface Flags {
  readonly core: URL;
  readonly host: string;
  readonly port: number;
}

/** `aiblock gateway`: takes workers in for a coordinator elsewhere. */
export function register(program: Command, environment: CliEnvironment): void {
  const { settings } = environment;
  program
    .command('gateway')
    .description(
      'Run a further gateway for workers: it reaches the coordinator over the Redis of REDIS_URL, which both share, and asks it over HTTP for what workers read.',
    )
    .option('--core <url>', 'HTTP address of the coordinator', coreOption, new URL(settings.coordinatorUrl))
    .option('--host <host>', 'address to listen on', settings.host)
    .option('--port <port>', 'port to listen on; 0 takes a free one', portOption, settings.port)
    .addHelpText(
      'after',
      '\nPrints one line of JSON with its address when it is ready; the log goes to standard error. Both run the same version, and the coordinator has the same REDIS_URL.\n\nExamples:\n  $ aiblock gateway --core http://10.0.0.5:8080 --host 0.0.0.0\n',
    )
    .action((flags: Flags) => run(flags, environment));
}

async function run({ core, host, port }: Flags, environment: CliEnvironment): Promise<void> {
  const { settings, signal, out, err } = environment;
  const { redisUrl, trustProxy } = settings;
  must(redisUrl !== undefined, 'OPTION', 'REDIS_URL: expected the Redis that the coordinator uses, too');
  // Late: help and wrong usage must not wait for it.
  const [{ createLog }, { startGateway }] = await Promise.all([
    import('#coordinator/log.ts'),
    import('#coordinator/gateway-node.ts'),
  ]);
  const log = createLog(settings.logLevel, err);
  const running = await startGateway({ core, host, port, redisUrl, trustProxy }, log, signal);
  out(`${JSON.stringify({ url: running.url })}\n`);
  await untilStopped(signal);
  log.info('stopping');
  await running.close();
  log.info('stopped');
}

function coreOption(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (!url || !/^https?:$/.test(url.protocol))
    throw new InvalidArgumentError('expected a URL such as http://10.0.0.5:8080.');
  return url;
}
