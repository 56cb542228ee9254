import { type Command, InvalidArgumentError } from 'commander';
import type { CliEnvironment } from '#coordinator/cli/environment.ts';
import { expiryOption } from '#coordinator/cli/expiry-option.ts';
import { addOperatorOptions, ask, type OperatorFlags } from '#coordinator/cli/operator.ts';
import { table, timeText } from '#coordinator/cli/table.ts';
import type { TokenState, WorkerToken } from '#coordinator/dispatch/worker-tokens.ts';
import { parseAddress } from '#shared/crypto/keys.ts';

interface CreateFlags extends OperatorFlags {
  readonly name: string;
  readonly expires?: number;
  readonly owner?: string;
  readonly uses: number;
}

const DEFAULT_EXPIRES_MS = 7 * 24 * 3_600_000;

/** `aiblock worker-token`: lets strangers' workers in, one by one. */
export function register(program: Command, environment: CliEnvironment): void {
  const command = program
    .command('worker-token')
    .description(
      'One-time tokens with which workers of others enrol. Works on a running pool and on a stopped one.',
    )
    .addHelpText(
      'after',
      `
Examples:
  $ aiblock worker-token create --name attic
  $ aiblock worker-token create --name "farm of Ann" --owner 0x70997970C51812dc3A010C7d01b50e0d17dc79C8 --uses 20 --expires 30d
  $ aiblock worker-token list
  $ aiblock worker-token revoke 5f1c0a9b3e77
  $ docker compose exec coordinator node coordinator/cli/aiblock.mjs worker-token create --name attic
`,
    );
  addCreate(command, environment);
  addList(command, environment);
  addRevoke(command, environment);
}

function addCreate(command: Command, environment: CliEnvironment): void {
  addOperatorOptions(command.command('create'), environment)
    .description('Make a token. It is shown this once; the pool keeps its hash.')
    .requiredOption('--name <name>', 'whom or what it is for', nameOption)
    .option(
      '--expires <when>',
      'until when it can be used: 30m, 12h, 7d, or a date (default 7d)',
      expiryOption(environment.now),
    )
    .option('--owner <address>', 'whom the workers work for: who mines with this address', addressOption)
    .option('--uses <n>', 'workers that it enrols', usesOption, 1)
    .action(async ({ json, dataDir, name, owner, uses, ...flags }: CreateFlags) => {
      const expires = flags.expires ?? environment.now() + DEFAULT_EXPIRES_MS;
      const input = { name, owner: owner ?? null, uses, expires };
      const { secret, token } = await ask<{ secret: string; token: WorkerToken }>(
        dataDir,
        'create-token',
        input,
      );
      if (json) return environment.out(`${JSON.stringify({ ...token, token: secret })}\n`);
      environment.out(`${secret}\n`);
      environment.err(
        `${token.uses} ${token.uses === 1 ? 'worker enrols' : 'workers enrol'} with it until ${timeText(token.expires)}:\n  aiblock worker --coordinator URL-OF-THIS-POOL --token ${secret}\n`,
      );
    });
}

function addList(command: Command, environment: CliEnvironment): void {
  addOperatorOptions(command.command('list'), environment)
    .description('The tokens that were made, and what became of them.')
    .action(async ({ json, dataDir }: OperatorFlags) => {
      const tokens = await ask<(WorkerToken & { state: TokenState })[]>(dataDir, 'list-tokens', {});
      if (json) return environment.out(`${JSON.stringify(tokens)}\n`);
      const rows = tokens.map((token) => [
        token.id,
        token.name,
        token.state,
        `${token.used}/${token.uses}`,
        timeText(token.expires),
        token.owner ?? '',
      ]);
      environment.out(table(['id', 'name', 'state', 'used', 'expires', 'owner'], rows));
    });
}

function addRevoke(command: Command, environment: CliEnvironment): void {
  addOperatorOptions(command.command('revoke <id>'), environment)
    .description('End a token; workers that enrolled with it stay (see aiblock workers revoke).')
    .action(async (id: string, { json, dataDir }: OperatorFlags) => {
      const token = await ask<WorkerToken>(dataDir, 'revoke-token', { id });
      environment.out(json ? `${JSON.stringify(token)}\n` : `${token.id} (${token.name}) is revoked\n`);
    });
}

function nameOption(text: string): string {
  if (!/^\P{C}{1,60}$/u.test(text)) throw new InvalidArgumentError('expected 1 to 60 characters.');
  return text;
}

function usesOption(text: string): number {
  if (!/^[1-9][0-9]{0,3}$/.test(text)) throw new InvalidArgumentError('expected a number from 1 to 9999.');
  return Number(text);
}

function addressOption(text: string): string {
  try {
    return parseAddress(text);
  } catch (error) {
    throw new InvalidArgumentError((error as Error).message);
  }
}
