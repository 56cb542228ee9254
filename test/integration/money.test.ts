import { mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { it } from 'node:test';
import fc from 'fast-check';
import { moneyCommands, runCommands } from '#test/drill/money/commands.ts';
import { World } from '#test/drill/money/world.ts';
import { makeMoneyPool } from '#test/helpers/money-pool.ts';
import { tempDir } from '#test/helpers/temp-dir.ts';

const RUNS = 8;

it('money is conserved, moved once, never below zero, and the same after a crash, a restart and a reindex', async (t) => {
  const dir = await tempDir();
  await makeMoneyPool(join(dir, 'template'));
  let operations = 0;
  await fc.assert(
    fc.asyncProperty(moneyCommands(40, 20), async (commands) => {
      const root = await mkdtemp(join(dir, 'run-'));
      const world = await World.open(join(dir, 'template'), root);
      try {
        // Something to spend.
        await world.submit(0);
        await world.submit(1);
        await runCommands(commands, world);
      } finally {
        operations += world.operations;
        await world.close();
        await rm(root, { recursive: true });
      }
    }),
    { numRuns: RUNS, interruptAfterTimeLimit: 60_000, includeErrorInReport: true },
  );
  t.diagnostic(`${operations} operations`);
});
