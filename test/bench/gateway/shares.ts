import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { kill } from 'node:process';
import { setTimeout as sleep } from 'node:timers/promises';
import { BenchPool } from '#test/bench/gateway/bench-pool.ts';
import { DriverHandle } from '#test/bench/gateway/driver-handle.ts';
import { figure, type Goal, type Report } from '#test/bench/report.ts';
import { TOKEN } from '#test/helpers/test-coordinator.ts';
import { until } from '#test/helpers/until.ts';

const WORKERS = 1_000;
/** A little more than is asked for, so that a full second has it. */
const PACE = 1_050;
const WARM_MS = 5_000;
const MEASURED_MS = 20_000;
const FAULT_MS = 4_000;
const NONE: Goal = { on: 'value', atMost: 0 };

/** A thousand workers, a share a second from each: how many are durable how soon, and what a kill loses of them. */
export async function benchShares(report: Report): Promise<void> {
  const pool = await BenchPool.start();
  const driver = DriverHandle.start(pool.log);
  const show = (metric: string, value: number, unit: string, goal?: Goal) =>
    report(figure({ name: 'gateway', metric, value, unit, ...(goal && { goal }) }));
  try {
    await driver.attach({ url: pool.url, token: TOKEN, count: WORKERS, roles: ['mine'], prefix: 'miner' });
    await pool.beginMining();
    await until('all have a lease', async () => (await driver.report()).canShare === WORKERS);
    driver.order({ t: 'pace', sharesPerSecond: PACE });
    await sleep(WARM_MS);
    await driver.report();
    const startedMs = performance.now();
    await sleep(MEASURED_MS);
    const { latenciesMs, refused } = await driver.report();
    const seconds = (performance.now() - startedMs) / 1_000;
    const sorted = [...latenciesMs].sort((a, b) => a - b);
    show('shares acknowledged after the durable write', latenciesMs.length / seconds, '/s', {
      on: 'value',
      atLeast: 1_000,
    });
    show('share to acknowledgement, median', quantile(sorted, 0.5), 'ms');
    show('share to acknowledgement, p99', quantile(sorted, 0.99), 'ms', { on: 'value', atMost: 25 });
    show('shares refused meanwhile', sum(refused), '', NONE);
    await kills(pool, driver, show);
  } finally {
    await driver.end();
    await pool.stop();
  }
}

type Show = (metric: string, value: number, unit: string, goal?: Goal) => void;

/** Coordinator and Redis are killed while shares come; the driver's log tells what was acknowledged. */
async function kills(pool: BenchPool, driver: DriverHandle, show: Show): Promise<void> {
  await pool.killAndStart();
  await sharing(driver);
  await sleep(FAULT_MS);
  kill(Number(await readFile(join(pool.dir, 'data', 'redis', 'redis.pid'), 'utf8')), 'SIGKILL');
  await sleep(FAULT_MS);
  await sharing(driver);
  driver.order({ t: 'pace', sharesPerSecond: 0 });
  await sleep(1_000);
  const acknowledged = await driver.acknowledged();
  const log = await pool.shareLog();
  const stored = new Set(log);
  show('shares acknowledged in all, with two kills', acknowledged.length, '');
  show(
    'acknowledged shares that are not in the log',
    acknowledged.filter((h) => !stored.has(h)).length,
    '',
    NONE,
  );
  show('shares that are twice in the log', log.length - stored.size, '', NONE);
  show('shares acknowledged twice', acknowledged.length - new Set(acknowledged).size, '', NONE);
}

/** Shares are acknowledged again. */
async function sharing(driver: DriverHandle): Promise<void> {
  await driver.report();
  await until('shares are acknowledged', async () => (await driver.report()).latenciesMs.length > 0);
}

const quantile = (sorted: readonly number[], q: number): number =>
  sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))] ?? Number.NaN;

const sum = (counts: Readonly<Record<string, number>>): number =>
  Object.values(counts).reduce((total, count) => total + count, 0);
