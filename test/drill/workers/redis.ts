import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { newKeyPair } from '#coordinator/store/key-files.ts';
import { BenchPool } from '#test/bench/gateway/bench-pool.ts';
import { atLeast, atMost, NONE, type Show } from '#test/drill/workers/show.ts';
import { FakeWorker } from '#test/helpers/fake-worker.ts';
import { SlowProxy } from '#test/helpers/slow-proxy.ts';
import { TOKEN } from '#test/helpers/test-coordinator.ts';
import { TestRedis } from '#test/helpers/test-redis.ts';
import { until } from '#test/helpers/until.ts';

const SLOW_MS = 2_000;
const QUESTIONS = ['/model', '/overview', '/submissions', '/readyz', '/metrics'];

interface Fault {
  readonly name: string;
  begin(): Promise<unknown>;
  end(): Promise<unknown>;
  /** A Redis that forgets, and answers, is ready. */
  readonly isTold: boolean;
}

/** Redis is killed, emptied, slow and full: what was acknowledged is paid, and nobody waits for it. */
export async function drillRedis(show: Show): Promise<void> {
  const dir = await mkdtemp(join(tmpdir(), 'aiblock-redis-'));
  const redis = await TestRedis.start(dir);
  const proxy = await SlowProxy.start(redis.port);
  const pool = await BenchPool.start({ redisUrl: `redis://127.0.0.1:${proxy.port}`, hard: false });
  const key = newKeyPair();
  const worker = await FakeWorker.attach({ url: pool.url, key, token: TOKEN });
  try {
    for (const fault of faults(redis, proxy)) await drillFault(show, pool, fault);
  } finally {
    await worker.close();
    proxy.delayMs = 0;
    await pool.stop();
    proxy.close();
    await redis.stop();
    await rm(dir, { recursive: true, force: true });
  }
}

function faults(redis: TestRedis, proxy: SlowProxy): Fault[] {
  const setDelay = (delayMs: number) => async () => {
    proxy.delayMs = delayMs;
  };
  return [
    { name: 'killed', isTold: true, begin: () => redis.kill(), end: () => redis.startAgain() },
    { name: 'emptied', isTold: false, begin: () => redis.command('FLUSHALL'), end: async () => undefined },
    { name: 'slow by 2 s', isTold: true, begin: setDelay(SLOW_MS), end: setDelay(0) },
    {
      ...{ name: 'full', isTold: true },
      begin: () => redis.command('CONFIG', 'SET', 'maxmemory', '1mb'),
      end: () => redis.command('CONFIG', 'SET', 'maxmemory', '0'),
    },
  ];
}

async function drillFault(show: Show, pool: BenchPool, fault: Fault): Promise<void> {
  await until('ready', async () => (await readiness(pool)) === 200);
  await fault.begin();
  const told = fault.isTold
    ? await until('/readyz tells', async () => (await readiness(pool)) === 503)
    : true;
  const id = await timed(() => pool.submit());
  const asked = [id.ms];
  for (const path of QUESTIONS) asked.push((await timed(() => pool.json(path).catch(() => null))).ms);
  await sleep(1_000);
  await fault.end();
  const state = await pool.reaches(id.value, 'paid', 'rejected');
  const stored = await pool.payments(id.value);
  show(`Redis ${fault.name}: /readyz tells`, told ? 1 : 0, '', atLeast(1));
  show(`Redis ${fault.name}: slowest of ${asked.length} requests`, Math.max(...asked), 'ms', atMost(1_000));
  show(`Redis ${fault.name}: acknowledged submissions lost`, state === 'paid' ? 0 : 1, '', NONE);
  show(`Redis ${fault.name}: times it was paid`, stored, '', { on: 'value', atLeast: 1, atMost: 1 });
}

async function readiness(pool: BenchPool): Promise<number> {
  return (await fetch(new URL('/readyz', pool.url))).status;
}

async function timed<T>(work: () => Promise<T>): Promise<{ value: T; ms: number }> {
  const startedMs = performance.now();
  return { value: await work(), ms: performance.now() - startedMs };
}
