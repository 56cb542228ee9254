import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFile, rm } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import { kill } from 'node:process';
import { before, describe, it } from 'node:test';
import { type Readiness, readinessSchema } from '#shared/api/schemas.ts';
import type { SubmissionState } from '#shared/lifecycle.ts';
import {
  frequencyBiases,
  headOf,
  LAST_BIAS,
  newKey,
  signedPart,
  submitGood,
} from '#test/helpers/candidate.ts';
import { aiblock, isAlive } from '#test/helpers/child.ts';
import type { FeedLog } from '#test/helpers/feed-log.ts';
import { entriesOf, readJournal, rewardsDue, sumOf } from '#test/helpers/journal.ts';
import { type Pool, startPool } from '#test/helpers/pool.ts';
import { skipWithout } from '#test/helpers/tools.ts';
import { until } from '#test/helpers/until.ts';
import type { Head } from '#worker/train/miner-head.ts';

describe('Redis', { skip: skipWithout('redis-server') }, () => {
  let pool: Pool;
  let feed: FeedLog;
  let head: Head;
  let biases: Float32Array[];
  const paid: string[] = [];

  before(async () => {
    pool = await startPool({ worker: false, smallGains: true });
    head = await headOf(pool.url);
    biases = frequencyBiases(head, 8);
    feed = await pool.feed();
  });

  const redisPid = async () =>
    Number(await readFile(join(pool.dataDir, 'redis', 'redis.pid'), 'utf8').catch(() => ''));
  const readiness = async (): Promise<{ status: number; body: Readiness }> => {
    const response = await fetch(new URL('/readyz', pool.url));
    return { status: response.status, body: readinessSchema.parse(await response.json()) };
  };
  const ready = () => until('ready', async () => (await readiness()).status === 200);

  async function submit(): Promise<string> {
    const bias = biases[paid.length] as Float32Array;
    const file = await signedPart(head, new Map([[LAST_BIAS, bias]]), newKey());
    await submitGood(pool.url, file.bytes);
    paid.push(file.id);
    return file.id;
  }

  const reached = (id: string, state: SubmissionState) =>
    feed.next(
      state,
      (e) => e.type === 'submission' && e.submission.id === id && e.submission.state === state,
    );

  async function isPaid(id: string): Promise<void> {
    const view = await pool.settled(id);
    assert.equal(view.state, 'paid', JSON.stringify(view.error));
  }

  async function command(text: string): Promise<string> {
    const socket = connect(join(pool.dataDir, 'redis', 'redis.sock'));
    socket.write(`${text}\r\n`);
    const [answer] = await once(socket, 'data');
    socket.destroy();
    return String(answer).trim();
  }

  it('emptied while the coordinator is stopped: what was acknowledged is queued again', async () => {
    const id = await submit();
    await reached(id, 'queued');
    const pid = await redisPid();
    await pool.coordinator.stop();
    assert.ok(!isAlive(pid), 'the private Redis ends with its coordinator');
    await rm(join(pool.dataDir, 'redis', 'appendonlydir'), { recursive: true });
    await pool.restart('coordinator');
    await pool.startWorker('worker');
    await isPaid(id);
  });

  it('killed in the midst of work: it is started again, and the work goes on', async () => {
    const id = await submit();
    await reached(id, 'evaluating');
    const pid = await redisPid();
    kill(pid, 'SIGKILL');
    await until('Redis is another process', async () => {
      const now = await redisPid();
      return now !== pid && now > 0 && isAlive(now);
    });
    await isPaid(id);
    await ready();
  });

  it('emptied in the midst of work: the work goes on', async () => {
    const id = await submit();
    await reached(id, 'evaluating');
    assert.equal(await command('FLUSHALL'), '+OK');
    const waiting = await submit();
    assert.equal(await command('FLUSHALL'), '+OK');
    await isPaid(id);
    await isPaid(waiting);
  });

  it('frozen: /readyz says so within a second or two, submissions are still taken', async () => {
    const pid = await redisPid();
    kill(pid, 'SIGSTOP');
    let id: string;
    try {
      const { body } = await until('not ready', async () => {
        const now = await readiness();
        return now.status === 503 && now;
      });
      assert.equal(body.ready, false);
      assert.equal(body.checks.redis?.ok, false);
      assert.equal(body.checks.store?.ok, true);
      id = await submit();
      await pool.api.model();
    } finally {
      kill(pid, 'SIGCONT');
    }
    await ready();
    await isPaid(id);
  });

  it('leaves chains and journal whole, every submission paid once', async () => {
    const { entries } = await readJournal(pool);
    const due = await rewardsDue(pool, head.meta.manifest.reward);
    for (const id of paid) assert.equal(sumOf(entriesOf(entries, id)), due.get(id));
    const model = await pool.measured();
    assert.equal(model.head.index, head.view.head.index + paid.length);
    const { code, stdout, stderr } = await aiblock(['verify', '--coordinator', pool.url]);
    assert.equal(code, 0, stdout + stderr);
  });
});
