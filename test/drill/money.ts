import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import type { Choice, Goal, Report } from '#test/bench/report.ts';
import { figure } from '#test/bench/report.ts';
import { moneyCommands, runCommands } from '#test/drill/money/commands.ts';
import { killMany } from '#test/drill/money/kills.ts';
import { World } from '#test/drill/money/world.ts';
import { makeMoneyPool } from '#test/helpers/money-pool.ts';

const OPERATIONS = 100_000;
const COMMANDS_PER_RUN = 250;
const BURST = 128;
const KILLS = 200;
const SEED = 20_260_101;
const NONE: Goal = { on: 'value', atMost: 0 };
const SOME: Goal = { on: 'value', atLeast: 1 };

/**
 * Money under everything that can happen to it: random operations against an oracle that is as simple as can be, and
 * kill -9 at any moment. The sections are `model` and `kills`.
 */
export async function drill(report: Report, { only }: Choice): Promise<void> {
  const dir = await mkdtemp(join(tmpdir(), 'aiblock-money-'));
  try {
    await makeMoneyPool(join(dir, 'template'));
    const wanted = (section: string) => only.length === 0 || only.includes(section);
    if (wanted('model')) await model(report, dir);
    if (wanted('kills')) await kills(report, dir);
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
}

/** Runs of random commands until there were enough operations; the first wrong one ends the drill with its seed. */
async function model(report: Report, dir: string): Promise<void> {
  const counts: Record<string, number> = {};
  const total = () => Object.values(counts).reduce((sum, count) => sum + count, 0);
  let entries = 0;
  for (let run = 0; total() < OPERATIONS; run++) {
    const root = await mkdtemp(join(dir, 'run-'));
    const property = fc.asyncProperty(moneyCommands(COMMANDS_PER_RUN, BURST), async (commands) => {
      const world = await World.open(join(dir, 'template'), root);
      try {
        for (const miner of [0, 1, 2]) await world.submit(miner); // something to spend
        await runCommands(commands, world);
        await world.reindex();
      } finally {
        for (const [what, count] of Object.entries(world.counts)) counts[what] = (counts[what] ?? 0) + count;
        entries += world.oracle.seq;
        await world.close();
      }
    });
    await fc.assert(property, {
      numRuns: 1,
      seed: SEED + run,
      endOnFailure: true,
      includeErrorInReport: true,
    });
    await rm(root, { recursive: true });
  }
  const show = (metric: string, value: number, goal?: Goal) =>
    report(figure({ name: 'money', metric, value, unit: '', ...(goal ? { goal } : {}) }));
  show('operations, all as the oracle says', total(), { on: 'value', atLeast: OPERATIONS });
  show('journal entries they made', entries);
  const needed = ['submissions', 'shares', 'release', 'forfeit', 'crashes', 'restarts', 'reindexes'];
  for (const what of [...new Set([...needed, ...Object.keys(counts)])])
    show(what, counts[what] ?? 0, needed.includes(what) ? SOME : undefined);
}

async function kills(report: Report, dir: string): Promise<void> {
  const { found, faults } = await killMany({
    template: join(dir, 'template'),
    dir,
    kills: KILLS,
    seed: SEED,
  });
  for (const [metric, value] of Object.entries(found))
    report(figure({ name: 'money', metric, value, unit: '', goal: goalOf(metric) }));
  for (const [metric, value] of Object.entries(faults))
    report(figure({ name: 'money', metric, value, unit: '', goal: NONE }));
}

const goalOf = (metric: string): Goal => (metric === 'kills' ? { on: 'value', atLeast: KILLS } : SOME);
