import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { after, before, describe, it } from 'node:test';
import { withRedis } from '#coordinator/queue/redis-connection.ts';
import { newKeyPair } from '#coordinator/store/key-files.ts';
import { readinessSchema } from '#shared/api/schemas.ts';
import { freePort } from '#test/helpers/free-port.ts';
import { fileOf, post, SMALL_TENSOR } from '#test/helpers/small-genesis.ts';
import { tempDir } from '#test/helpers/temp-dir.ts';
import { TestCoordinator } from '#test/helpers/test-coordinator.ts';
import { skipWithout, toolPath } from '#test/helpers/tools.ts';
import { until } from '#test/helpers/until.ts';

describe('a Redis that stops answering, and one that forgets', { skip: skipWithout('redis-server') }, () => {
  let pool: TestCoordinator;
  let redis: ChildProcess;
  let url: string;
  before(async () => {
    const port = await freePort();
    const args = ['--port', String(port), '--bind', '127.0.0.1', '--save', '', '--dir', await tempDir()];
    redis = spawn(toolPath('redis-server') ?? '', args, { stdio: 'ignore' });
    url = `redis://127.0.0.1:${port}`;
    await until('Redis answers', () => withRedis({ url }, async (r) => (await r.ping()) === 'PONG'));
    pool = await TestCoordinator.start({ redisUrl: url });
  });
  after(async () => {
    redis.kill('SIGCONT');
    await pool.destroy();
    redis.kill('SIGTERM');
    if (redis.exitCode === null) await once(redis, 'exit');
  });
  const submit = async (value: number) => {
    const file = fileOf(await pool.model(), { key: newKeyPair(), tensors: { [SMALL_TENSOR]: value } });
    assert.equal((await post(pool.url, file)).status, 202);
    return file.id;
  };

  it('keeps what is acknowledged while Redis does not answer, says so, and pays it afterwards', async () => {
    redis.kill('SIGSTOP');
    const id = await submit(0.5);
    const readiness = await pool.get('/readyz');
    assert.equal(readiness.status, 503);
    assert.equal(readinessSchema.parse(readiness.body).checks.redis?.ok, false);
    assert.match(await (await fetch(new URL('/metrics', pool.url))).text(), /aiblock_redis_up 0/);
    redis.kill('SIGCONT');
    await until('it is ready again', async () => (await pool.get('/readyz')).status === 200);
    await pool.attach();
    await pool.reaches(id, 'paid');
  });

  it('queues again what an emptied Redis forgot', async () => {
    for (const worker of pool.workers) await worker.close();
    const file = fileOf(await pool.model(), { key: newKeyPair(), tensors: { [SMALL_TENSOR]: 0.75 } });
    assert.equal((await post(pool.url, file)).status, 202);
    await withRedis({ url }, (r) => r.flushall());
    assert.equal((await post(pool.url, file)).status, 200, 'it is known all the same');
    await pool.attach();
    const { reward } = await pool.reaches(file.id, 'paid');
    const { index } = (await pool.model()).head;
    // Forgotten once more after it is done: the same answer, and no second reward.
    await withRedis({ url }, (r) => r.flushall());
    assert.equal((await post(pool.url, file)).status, 200);
    const again = await pool.submission(file.id);
    assert.deepEqual([again.state, again.reward, (await pool.model()).head.index], ['paid', reward, index]);
  });

  it('stops in bounded time while Redis does not answer', async () => {
    await pool.attach();
    redis.kill('SIGSTOP');
    await pool.stop();
    redis.kill('SIGCONT');
    await pool.start();
    assert.equal((await pool.get('/readyz')).status, 200);
  });
});
