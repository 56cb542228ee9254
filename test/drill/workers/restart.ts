import { setTimeout as sleep } from 'node:timers/promises';
import { BenchPool } from '#test/bench/gateway/bench-pool.ts';
import { DriverHandle } from '#test/bench/gateway/driver-handle.ts';
import { atLeast, atMost, NONE, type Show } from '#test/drill/workers/show.ts';
import { TOKEN } from '#test/helpers/test-coordinator.ts';
import { until } from '#test/helpers/until.ts';

const WORKERS = 1_000;
const PACE = 200;
const BUSY_MS = 3_000;
const SLICE_MS = 100;

/** The coordinator is killed under a thousand workers and starts again: when all are back, and how they come. */
export async function drillRestart(show: Show): Promise<void> {
  const pool = await BenchPool.start();
  const driver = DriverHandle.start(pool.log);
  try {
    await driver.attach({ url: pool.url, token: TOKEN, count: WORKERS, roles: ['mine'], prefix: 'miner' });
    await pool.beginMining();
    driver.order({ t: 'pace', sharesPerSecond: PACE });
    await sleep(BUSY_MS);
    await driver.report();
    await pool.killAndStart();
    const upMs = Date.now();
    const attempts: number[] = [];
    const welcomes: number[] = [];
    await until('all are back', async () => {
      const report = await driver.report();
      attempts.push(...report.attemptsMs);
      welcomes.push(...report.welcomesMs);
      return report.isIn === WORKERS;
    });
    const after = attempts.filter((ms) => ms >= upMs);
    show(
      'coordinator killed: 1,000 workers are back after it listens in',
      last(welcomes, upMs),
      's',
      atMost(10),
    );
    show('connections begun since it listens, of each worker', after.length / WORKERS, '', atMost(2));
    show('most connections begun in a tenth of a second', peak(after, upMs), '', atMost(WORKERS / 4));
    await until('shares are acknowledged', async () => (await driver.report()).latenciesMs.length > 0);
    driver.order({ t: 'pace', sharesPerSecond: 0 });
    await sleep(1_000);
    const acknowledged = await driver.acknowledged();
    const stored = new Set(await pool.shareLog());
    show('shares acknowledged before and after', acknowledged.length, '', atLeast(PACE));
    show('of these lost', acknowledged.filter((hash) => !stored.has(hash)).length, '', NONE);
  } finally {
    await driver.end();
    await pool.stop();
  }
}

const last = (timesMs: readonly number[], sinceMs: number): number =>
  Math.max(0, (Math.max(...timesMs) - sinceMs) / 1_000);

function peak(timesMs: readonly number[], sinceMs: number): number {
  const counts = new Map<number, number>();
  for (const ms of timesMs) {
    const slice = Math.floor((ms - sinceMs) / SLICE_MS);
    counts.set(slice, (counts.get(slice) ?? 0) + 1);
  }
  return Math.max(0, ...counts.values());
}
