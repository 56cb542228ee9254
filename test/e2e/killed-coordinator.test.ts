import { it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { SubmissionState } from '#shared/lifecycle.ts';
import { seededUniform } from '#shared/weights/random.ts';
import { type Pool, startPool } from '#test/helpers/pool.ts';
import { SteadySubmitter } from '#test/helpers/steady-submitter.ts';
import { skipWithout } from '#test/helpers/tools.ts';

/** After which move of a submission the coordinator is killed, and within how many milliseconds of it. */
const KILLS: readonly [SubmissionState, number][] = [
  ['received', 5],
  ['queued', 5],
  ['evaluating', 300],
  ['evaluated', 5],
  ['mining', 5],
  ['mining', 1_500],
  ['mined', 0],
  ['mined', 10],
  ['mined', 40],
  ['committed', 0],
];
/** Kills of a coordinator that is just starting, so many milliseconds after its start. */
const KILLS_AT_START = [400, 1_200];
const SEED = 20_260_101;

async function killAndRestart(pool: Pool, atStart: number | undefined): Promise<void> {
  await pool.kill9('coordinator');
  if (atStart !== undefined) {
    const starting = pool.startCoordinator().catch(() => {});
    await sleep(atStart);
    await pool.kill9('coordinator');
    await starting;
  }
  await pool.restart('coordinator');
}

it('loses nothing and pays nothing twice, whenever it is killed', {
  skip: skipWithout('redis-server'),
}, async () => {
  const pool = await startPool({ smallGains: true });
  const submitter = await SteadySubmitter.of(pool, KILLS.length);
  const random = seededUniform(SEED);

  for (const [round, [state, withinMs]] of KILLS.entries()) {
    await submitter.until(state);
    await sleep(random() * withinMs);
    await killAndRestart(pool, KILLS_AT_START[round % 5]);
    await submitter.repeat();
  }
  await submitter.allPaidOnce();
});
