import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { SubmissionState } from '#shared/lifecycle.ts';
import { ChildHandle, isAlive } from '#test/helpers/child.ts';
import { type Pool, startPool } from '#test/helpers/pool.ts';
import { SteadySubmitter } from '#test/helpers/steady-submitter.ts';
import { skipWithout } from '#test/helpers/tools.ts';

/** In which states of a submission the coordinator is asked to stop. */
const STATES: readonly SubmissionState[] = [
  'received',
  'queued',
  'evaluating',
  'evaluated',
  'mining',
  'mined',
  'committed',
];
/** How long after its start a coordinator is asked to stop, in ms: in each phase of a start. */
const MOMENTS = [20, 100, 200, 350, 500, 650, 800, 1_000, 1_300, 1_700];
const STOPPED = 0;
/** What was broken off. */
const INTERRUPTED = 130;

/** The store, its lock and Redis are free again. */
async function mustBeGone(dataDir: string): Promise<void> {
  const pid = await readFile(join(dataDir, 'redis', 'redis.pid'), 'utf8').catch(() => undefined);
  if (pid) assert.ok(!isAlive(Number(pid)), 'redis-server is still there');
  await assert.rejects(readFile(join(dataDir, 'store', 'lock')), { code: 'ENOENT' });
}

async function stop(pool: Pool): Promise<void> {
  const { code, signal } = await pool.coordinator.stop();
  assert.deepEqual({ code, signal }, { code: STOPPED, signal: null }, pool.coordinator.describe());
  await mustBeGone(pool.dataDir);
}

describe('a coordinator that gets SIGTERM', { skip: skipWithout('redis-server') }, () => {
  it('stops cleanly in every state of a submission, and goes on from there', async () => {
    const pool = await startPool({ smallGains: true });
    const submitter = await SteadySubmitter.of(pool, STATES.length);
    for (const state of STATES) {
      await submitter.until(state);
      await stop(pool);
      await pool.startCoordinator();
      await submitter.repeat();
    }
    await submitter.allPaidOnce();
  });

  it('stops cleanly in every phase of its start, and starts after it', async () => {
    const pool = await startPool({ worker: false });
    await stop(pool);
    for (const momentMs of MOMENTS) {
      const args = ['coordinator', '--data-dir', pool.dataDir, '--port', '0'];
      const starting = ChildHandle.aiblock('starting', args);
      await sleep(momentMs);
      const { code, signal } = await starting.stop();
      // Before the program runs the signal itself ends the process.
      const how = signal ?? code;
      assert.ok(
        ['SIGTERM', STOPPED, INTERRUPTED].includes(how as never),
        `${momentMs} ms: ${how}\n${starting.describe()}`,
      );
      await mustBeGone(pool.dataDir);
    }
    await pool.startCoordinator();
    await stop(pool);
  });
});
