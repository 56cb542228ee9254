import { Command, CommanderError } from 'commander';
import { PoolError } from '#shared/errors/pool-error.ts';
import { SOFTWARE_VERSION } from '#shared/version.ts';
import { register as chat } from '#worker/cli/chat.ts';
import type { CommandEnvironment } from '#worker/cli/command.ts';
import { register as doctor } from '#worker/cli/doctor.ts';
import { register as exportModel } from '#worker/cli/export.ts';
import { register as ledger } from '#worker/cli/ledger.ts';
import { register as meta } from '#worker/cli/meta.ts';
import { register as miner } from '#worker/cli/miner.ts';
import { register as proof } from '#worker/cli/proof.ts';
import { register as receipts } from '#worker/cli/receipts.ts';
import { register as submit } from '#worker/cli/submit.ts';
import { register as train } from '#worker/cli/train.ts';
import { register as upload } from '#worker/cli/upload.ts';
import { register as verify } from '#worker/cli/verify.ts';
import { register as wallet } from '#worker/cli/wallet.ts';
import { register as worker } from '#worker/cli/worker.ts';
import { readEnvironment } from '#worker/env.ts';

/** The commands that work against a pool, each in its own file. */
const COMMANDS = [
  worker,
  miner,
  train,
  submit,
  upload,
  wallet,
  meta,
  chat,
  verify,
  proof,
  ledger,
  receipts,
  doctor,
  exportModel,
];

const EXIT = { fine: 0, failure: 1, usage: 2, interrupted: 130 } as const;

const stop = new AbortController();
let signals = 0;
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.on(signal, () => {
    // The second one means it; one that follows a broken pipe is the first.
    if (++signals > 1) process.exit(EXIT.interrupted);
    stop.abort(new PoolError('UNAVAILABLE', 'stopped'));
  });
}
process.on('unhandledRejection', (error) => process.exit(report(error)));
process.on('uncaughtException', (error) => process.exit(report(error)));
// A reader that went away, such as `head`, is no failure.
process.stdout.on('error', () => process.exit(EXIT.fine));

process.exitCode = await main();

async function main(): Promise<number> {
  try {
    const environment = commandEnvironment();
    const program = new Command('aiblock')
      .description('Commands that work against an AI-Block pool.')
      .version(environment.version)
      .exitOverride()
      // So that `worker status` has options of the names that `worker` has.
      .enablePositionalOptions()
      .configureOutput({ outputError: (text, write) => write(text.replace(/^error: /, 'error OPTION: ')) })
      .showSuggestionAfterError();
    for (const register of COMMANDS) register(program, environment);
    await program.parseAsync(process.argv);
    return EXIT.fine;
  } catch (error) {
    return report(error);
  }
}

/** One line on standard error; never a stack trace, which helps nobody who uses a command. */
function report(error: unknown): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.fine : EXIT.usage;
  // What was broken off has not done what it was asked for; commands that are meant to be stopped end by themselves.
  if (stop.signal.aborted && !(error instanceof PoolError && error.code !== 'UNAVAILABLE'))
    return EXIT.interrupted;
  const { code, message } =
    error instanceof PoolError
      ? error
      : { code: 'INTERNAL', message: error instanceof Error ? error.message : String(error) };
  process.stderr.write(`error ${code}: ${message}\n`);
  return code === 'OPTION' ? EXIT.usage : EXIT.failure;
}

function commandEnvironment(): CommandEnvironment {
  return {
    settings: readEnvironment(),
    signal: stop.signal,
    version: SOFTWARE_VERSION,
    now: Date.now,
    random: Math.random,
    stdin: process.stdin,
    terminal: process.stdout.isTTY === true,
    out: (text) => process.stdout.write(text),
    err: (text) => process.stderr.write(text),
    memoryBytes: () => process.memoryUsage.rss(),
  };
}
