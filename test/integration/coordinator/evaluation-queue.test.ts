import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { HeldJob } from '#coordinator/dispatch/job-queue.ts';
import { EvaluationQueue } from '#coordinator/queue/evaluation-queue.ts';
import { tempDir } from '#test/helpers/temp-dir.ts';
import { TestRedis } from '#test/helpers/test-redis.ts';
import { skipWithout } from '#test/helpers/tools.ts';
import { until } from '#test/helpers/until.ts';

const LOCK_MS = 1_000;
const dir = await tempDir();

describe('the queue of evaluations', { skip: skipWithout('redis-server') }, () => {
  let redis: TestRedis;
  let one: EvaluationQueue;
  let other: EvaluationQueue;
  before(async () => {
    redis = await TestRedis.start(dir);
    const open = (gateway: string) =>
      EvaluationQueue.open({ url: redis.url }, { prefix: 'test', lockMs: LOCK_MS, gateway });
    [one, other] = [await open('one'), await open('other')];
  });
  after(async () => {
    await one?.close();
    await other?.close();
    await redis?.stop();
  });
  const job = (id: string) => ({ kind: 'submission', id }) as const;
  const taken = (queue: EvaluationQueue): Promise<HeldJob> =>
    until('a job', async () => (await queue.take()) ?? false);

  it('has a job once, however often it is added', async () => {
    for (let i = 0; i < 3; i++) await one.add(job('once'));
    const held = await taken(one);
    await one.add(job('once'));
    assert.equal(await other.take(), null);
    await held.complete();
    assert.equal(await one.take(), null);
  });

  it('keeps a job whose lock is extended, and gives one back', async () => {
    await one.add(job('kept'));
    const held = await taken(one);
    for (let i = 0; i < 4; i++) {
      await new Promise((resolve) => setTimeout(resolve, LOCK_MS / 2));
      await held.extend();
    }
    assert.equal(await other.take(), null);
    await held.giveBack();
    await (await taken(other)).complete();
  });

  it('gives a job whose holder is lost to another, and refuses the late end', async () => {
    await one.add(job('lost'));
    const late = await taken(one);
    const held = await taken(other);
    assert.equal(held.data.id, 'lost');
    await assert.rejects(late.complete(), /lock/i);
    await held.complete();
    assert.equal(await one.take(), null);
  });
});
