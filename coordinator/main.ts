import { Command, CommanderError } from 'commander';
import { register as backup } from '#coordinator/cli/backup.ts';
import { register as coordinator } from '#coordinator/cli/coordinator.ts';
import type { CliEnvironment } from '#coordinator/cli/environment.ts';
import { register as gateway } from '#coordinator/cli/gateway.ts';
import { register as init } from '#coordinator/cli/init.ts';
import { register as reindex } from '#coordinator/cli/reindex.ts';
import { register as restore } from '#coordinator/cli/restore.ts';
import { register as up } from '#coordinator/cli/up.ts';
import { register as workerToken } from '#coordinator/cli/worker-token.ts';
import { register as workers } from '#coordinator/cli/workers.ts';
import { childEnvironment, readEnvironment, readHubAccess } from '#coordinator/env.ts';
import { ENVIRONMENT } from '#shared/env.ts';
import { PoolError } from '#shared/errors/pool-error.ts';
import { SOFTWARE_VERSION } from '#shared/version.ts';

const EXIT = { fine: 0, failure: 1, usage: 2, interrupted: 130 } as const;

const OTHER_COMMANDS = `
Commands that work against a pool (see aiblock COMMAND --help):
  worker                attach this machine: evaluate, grind, chat
  miner                 train the model and submit better weights
  train                 train a model and write it as a folder
  submit FILE           submit one tensor of better weights
  upload FILE|DIR       submit better weights: a safetensors file or a model folder
  chat [prompt]         ask the model
  verify [chain] [i]    audit a pool, or one block, believing nothing
  proof [entry]         a proof of an entry or a tensor, to be checked offline
  ledger audit          compute every reward anew and print what differs
  ledger adjust         give tokens of the pool’s own account, with a reason
  receipts              what the pool signed for of this worker’s work
  doctor                what keeps this machine from working, and how to mend it
  export DIR            write the head as a Hugging Face folder
  wallet                keys, balances and payments
  meta                  the rules of a pool, and how its governors change them

Examples:
  $ aiblock up                                  the whole pool on this machine
  $ aiblock init --name "My pool"               a chain of your own, with keys of your own
  $ aiblock init --model HuggingFaceTB/SmolLM2-135M   the same, from a checkpoint
  $ aiblock coordinator                         the coordinator alone
  $ aiblock worker-token create --name attic    a token for somebody else's worker
  $ aiblock worker --coordinator wss://pool.example --token TOKEN
  $ aiblock verify B 60                         check one block, and evaluate its loss again

Environment:
${Object.entries(ENVIRONMENT)
  .map(([name, text]) => `  ${name.padEnd(22)}${text}`)
  .join('\n')}
`;

const stop = new AbortController();
// Only a second signal ends us at once: one that follows a broken pipe, as when `aiblock up` is killed, is the first.
let signals = 0;
for (const signal of ['SIGINT', 'SIGTERM'] as const)
  process.on(signal, () => {
    if (++signals > 1) process.exit(EXIT.interrupted);
    stop.abort(new PoolError('UNAVAILABLE', 'stopped'));
  });
// A reader that went away, such as `head` or a killed `aiblock up`, is a reason to stop, in order: Redis and children too.
process.stdout.on('error', () => stop.abort(new PoolError('UNAVAILABLE', 'stopped')));
process.stderr.on('error', () => stop.abort(new PoolError('UNAVAILABLE', 'stopped')));

process.exit(await main());

async function main(): Promise<number> {
  try {
    const program = new Command('aiblock')
      .description('A mining pool whose blocks are the weights of an AI model.')
      .version(SOFTWARE_VERSION)
      .exitOverride()
      .configureOutput({ outputError: (text, write) => write(text.replace(/^error: /, 'error OPTION: ')) })
      .showSuggestionAfterError()
      .addHelpText('after', OTHER_COMMANDS);
    const environment = cliEnvironment();
    const commands = [up, init, coordinator, gateway, backup, restore, reindex, workerToken, workers];
    for (const register of commands) register(program, environment);
    await program.parseAsync(process.argv);
    return EXIT.fine;
  } catch (error) {
    return report(error);
  }
}

/** One line on standard error; a stack trace only for a fault of ours. */
function report(error: unknown): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.fine : EXIT.usage;
  // What was broken off has not done what it was asked for; a fault on the way out is still shown.
  if (stop.signal.aborted && isBrokenOff(error)) return EXIT.interrupted;
  if (error instanceof PoolError) {
    process.stderr.write(`error ${error.code}: ${error.message}\n`);
    return error.code === 'OPTION' ? EXIT.usage : EXIT.failure;
  }
  process.stderr.write(
    `error INTERNAL: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`,
  );
  return EXIT.failure;
}

function isBrokenOff(error: unknown): boolean {
  // A wait of Node's that is aborted rejects with an error of its own.
  if (error instanceof PoolError) return error.code === 'UNAVAILABLE';
  return error instanceof Error && error.name === 'AbortError';
}

function cliEnvironment(): CliEnvironment {
  return {
    settings: readEnvironment(),
    hub: readHubAccess,
    signal: stop.signal,
    terminal: process.stdout.isTTY === true,
    color: process.stdout.isTTY === true && process.env.NO_COLOR === undefined,
    out: (text) => process.stdout.write(text),
    err: (text) => process.stderr.write(text),
    now: Date.now,
    childEnvironment,
    execPath: process.execPath,
  };
}
