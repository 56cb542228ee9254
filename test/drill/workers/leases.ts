import { join } from 'node:path';
import { BenchPool } from '#test/bench/gateway/bench-pool.ts';
import { DriverHandle } from '#test/bench/gateway/driver-handle.ts';
import { atLeast, atMost, type Show } from '#test/drill/workers/show.ts';
import { TOKEN } from '#test/helpers/test-coordinator.ts';
import { until } from '#test/helpers/until.ts';

/** A worker that holds a lease is killed, or frozen: how soon another has it, and what becomes of a late answer. */
export async function drillLeases(show: Show): Promise<void> {
  const pool = await BenchPool.start({ hard: false });
  try {
    show('a worker is killed: its lease runs elsewhere after', await lost(pool, 'SIGKILL'), 's', atMost(5));
    const frozen = await frozenWorker(pool);
    show('a worker is frozen: its lease runs elsewhere after', frozen.seconds, 's', atMost(5));
    show('its late answers that are refused', frozen.refused, '', atLeast(1));
    show('the submission is evaluated by the other', frozen.isEvaluated ? 1 : 0, '', atLeast(1));
  } finally {
    await pool.stop();
  }
}

async function lost(pool: BenchPool, signal: NodeJS.Signals): Promise<number> {
  const { driver, id } = await holding(pool, 'killed');
  const startedMs = performance.now();
  driver.signal(signal);
  const seconds = await elsewhere(pool, id, startedMs);
  await driver.end();
  return seconds;
}

async function frozenWorker(pool: BenchPool) {
  const { driver, id } = await holding(pool, 'frozen');
  try {
    const startedMs = performance.now();
    driver.signal('SIGSTOP');
    const seconds = await elsewhere(pool, id, startedMs);
    driver.signal('SIGCONT');
    await until('it is back', async () => (await driver.report()).welcomesMs.length > 0);
    driver.order({ t: 'answer-late' });
    const refused = await until(
      'the late answer is refused',
      async () => (await driver.report()).refused.LEASE_UNKNOWN,
    );
    const state = await pool.reaches(id, 'evaluated', 'mining', 'mined', 'paid', 'rejected');
    return { seconds, refused, isEvaluated: state !== 'rejected' };
  } finally {
    await driver.end();
  }
}

/** A process whose one worker holds the only lease of a submission. */
async function holding(pool: BenchPool, prefix: string): Promise<{ driver: DriverHandle; id: string }> {
  const driver = DriverHandle.start(join(pool.dir, `${prefix}.log`));
  // The head is measured first: by one who answers.
  const measurer = await pool.attach();
  await until('the head is measured', async () => {
    const model = (await pool.json('/model')) as { validation_loss_nats: number | null };
    return model.validation_loss_nats !== null;
  });
  await measurer.close();
  await driver.attach({ url: pool.url, token: TOKEN, count: 1, roles: ['evaluate'], prefix });
  const id = await pool.submit();
  await until('it has the lease', async () => (await driver.report()).evaluations > 0);
  return { driver, id };
}

/** Seconds until a worker that stands by has the lease. */
async function elsewhere(pool: BenchPool, id: string, startedMs: number): Promise<number> {
  const other = await pool.attach();
  await other.next('evaluate', ({ submission }) => submission === id);
  const seconds = (performance.now() - startedMs) / 1_000;
  await pool.reaches(id, 'evaluated', 'mining', 'mined', 'paid', 'rejected');
  await other.close();
  return seconds;
}
