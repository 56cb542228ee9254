import type { Command } from 'commander';
import type { CliEnvironment } from '#coordinator/cli/environment.ts';
import { addOperatorOptions, ask, type OperatorFlags } from '#coordinator/cli/operator.ts';
import { table, timeText } from '#coordinator/cli/table.ts';
import type { WorkerLine } from '#coordinator/operator/operations.ts';
import type { Standing } from '#shared/protocol/standing.ts';

/** Command → what becomes of the worker, and how the help says it. */
const DECISIONS: readonly (readonly [command: string, standing: Standing, text: string])[] = [
  ['pause', 'paused', 'Take its leases back, and give it none until it is resumed.'],
  ['resume', 'active', 'Give it work again.'],
  ['drain', 'draining', 'Let it finish what it holds, and give it nothing new until it is resumed.'],
  ['revoke', 'revoked', 'End its session and shut its key out; resume lets it in again.'],
];

/** `aiblock workers`: who is enrolled, and what the operator wants of each. */
export function register(program: Command, environment: CliEnvironment): void {
  const command = program
    .command('workers')
    .description(
      'The workers of this pool. Works on a running pool and on a stopped one; decisions outlive restarts.',
    )
    .addHelpText(
      'after',
      `
A worker is named by its address, or by its name where no other has it; where no worker has that name, by the name
of the token that enrolled it and no other.

Examples:
  $ aiblock workers list
  $ aiblock workers drain attic
  $ aiblock workers revoke 0x70997970C51812dc3A010C7d01b50e0d17dc79C8
  $ docker compose exec coordinator node coordinator/cli/aiblock.mjs workers list
`,
    );
  addOperatorOptions(command.command('list'), environment)
    .description('Every worker that is enrolled.')
    .action(async ({ json, dataDir }: OperatorFlags) => {
      const workers = await ask<WorkerLine[]>(dataDir, 'list-workers', {});
      environment.out(json ? `${JSON.stringify(workers)}\n` : list(workers));
    });
  for (const [name, standing, text] of DECISIONS)
    addOperatorOptions(command.command(`${name} <worker>`), environment)
      .description(text)
      .action(async (worker: string, { json, dataDir }: OperatorFlags) => {
        const line = await ask<WorkerLine>(dataDir, 'set-standing', { worker, standing });
        environment.out(
          json ? `${JSON.stringify(line)}\n` : `${line.name} (${line.address}) is ${line.standing}\n`,
        );
      });
}

function list(workers: readonly WorkerLine[]): string {
  const rows = workers.map((worker) => [
    worker.name,
    worker.address,
    worker.token_name ?? '',
    worker.standing,
    worker.connected ? `here, holds ${worker.holds}` : `away since ${timeText(worker.last_seen_at)}`,
    worker.owner === worker.address ? '' : worker.owner,
  ]);
  return table(['name', 'address', 'token', 'standing', 'seen', 'works for'], rows);
}
