import assert from 'node:assert/strict';
import { after, afterEach, before, beforeEach, describe, it } from 'node:test';
import { EVALUATION_DEFAULTS } from '#coordinator/evaluation/evaluation.ts';
import { type RunningGateway, startGateway } from '#coordinator/gateway-node.ts';
import { createLog } from '#coordinator/log.ts';
import { newKeyPair } from '#coordinator/store/key-files.ts';
import { type Overview, overviewSchema } from '#shared/api/schemas.ts';
import { ChildHandle } from '#test/helpers/child.ts';
import type { EvaluateLease, FakeWorker } from '#test/helpers/fake-worker.ts';
import { fileOf, post, SMALL_TENSOR, smallContent } from '#test/helpers/small-genesis.ts';
import { tempDir } from '#test/helpers/temp-dir.ts';
import { TestCoordinator } from '#test/helpers/test-coordinator.ts';
import { TestRedis } from '#test/helpers/test-redis.ts';
import { skipWithout } from '#test/helpers/tools.ts';
import { until } from '#test/helpers/until.ts';

const dir = await tempDir();

describe('two further gateways on one Redis', { skip: skipWithout('redis-server') }, () => {
  let redis: TestRedis;
  let pool: TestCoordinator;
  let gateways: [RunningGateway, RunningGateway];
  const workers: FakeWorker[] = [];
  let value = 0.125;

  const start = (): Promise<RunningGateway> =>
    startGateway(
      { host: '127.0.0.1', port: 0, redisUrl: redis.url, core: new URL(pool.url), trustProxy: undefined },
      createLog('silent', () => undefined),
      new AbortController().signal,
    );

  before(async () => {
    redis = await TestRedis.start(dir);
    pool = await TestCoordinator.start(
      { redisUrl: redis.url, evaluation: { ...EVALUATION_DEFAULTS, tickMs: 200, canaryOneIn: 1_000_000 } },
      smallContent(),
      { quorum: { attestations: 2, trusted_after: 1_000 } },
    );
  });
  beforeEach(async () => {
    gateways = [await start(), await start()];
  });
  afterEach(async () => {
    for (const worker of workers.splice(0)) await worker.close();
    for (const gateway of gateways) await gateway.close();
  });
  after(async () => {
    await pool?.destroy();
    await redis?.stop();
  });

  const attach = async (url: string, options: Parameters<TestCoordinator['attach']>[0] = {}) => {
    const worker = await pool.attach({ url, ...options });
    workers.push(worker);
    assert.equal(worker.closed, undefined);
    return worker;
  };
  const submit = async () => {
    value += 0.25;
    const file = fileOf(await pool.model(), { key: newKeyPair(), tensors: { [SMALL_TENSOR]: value } });
    assert.equal((await post(pool.url, file)).status, 202);
    return file.id;
  };
  const overview = async (): Promise<Overview> => overviewSchema.parse((await pool.get('/overview')).body);
  const attached = async () => (await overview()).workers.filter(({ connected }) => connected).length;

  it('seats a committee whose members are at different gateways, and pays', async () => {
    const [one, two] = gateways;
    const [first, second] = [await attach(one.url), await attach(two.url)];
    assert.equal(await attached(), 2);
    await pool.reaches(await submit(), 'paid');
    for (const worker of [first, second])
      assert.ok(worker.received.some((m) => m.type === 'evaluate' && m.changed.length > 0));
  });

  it('UNAUTHORISED and BANNED are the core’s answers, also to a gateway', async () => {
    const [one, two] = gateways;
    const stranger = await pool.attach({ url: one.url, token: 'wrong' });
    assert.equal(await stranger.refusal(), 'UNAUTHORISED');
    assert.equal(stranger.closed?.code, 4401);
    const key = newKeyPair();
    const rude = await attach(one.url, { key, roles: ['chat'] });
    for (let i = 0; i < 20; i++) rude.sendText('{"type":"steal"}');
    await rude.until(() => rude.closed !== undefined);
    const back = await pool.attach({ url: two.url, key });
    assert.equal(await back.refusal(), 'BANNED');
  });

  it('LEASE_UNKNOWN of the core reaches the worker, and counts against it', async () => {
    const worker = await attach(gateways[0].url, { roles: ['chat'] });
    for (let i = 0; i < 20; i++) worker.send({ type: 'failed', lease: 'none', error: failure });
    await worker.until(() => worker.closed !== undefined);
    assert.equal(worker.closed?.code, 4403);
    assert.equal(await worker.refusal(), 'LEASE_UNKNOWN');
  });

  it('a key that connects at another gateway ends its session at the first', async () => {
    const key = newKeyPair();
    const first = await attach(gateways[0].url, { key, roles: ['chat'] });
    await attach(gateways[1].url, { key, roles: ['chat'] });
    await first.until(() => first.closed !== undefined);
    assert.equal(first.closed?.code, 4409);
    assert.equal(await attached(), 1);
  });

  it('a gateway that is killed loses its sessions within seconds: the lease is given to another worker', async () => {
    const child = ChildHandle.aiblock('gateway', ['gateway', '--core', pool.url, '--port', '0'], {
      REDIS_URL: redis.url,
    });
    const { url } = await child.line<{ url: string }>((l) => l.startsWith('{"url":') && JSON.parse(l));
    const leases: EvaluateLease[] = [];
    const lost = await attach(url, { roles: ['evaluate'], onEvaluate: (_, lease) => leases.push(lease) });
    await attach(gateways[0].url, { roles: ['evaluate', 'mine'] });
    const id = await submit();
    await lost.until(() => leases.some(({ changed }) => changed.length > 0));
    child.kill('SIGKILL');
    const killedMs = performance.now();
    const next = await attach(gateways[1].url, { roles: ['evaluate'] });
    await next.next('evaluate', ({ changed }) => changed.length > 0);
    assert.ok(performance.now() - killedMs < 10_000);
    await pool.reaches(id, 'paid');
    const metrics = await (await fetch(new URL('/metrics', pool.url))).text();
    assert.match(metrics, /^aiblock_gateways_linked 2$/m);
    assert.match(metrics, /^aiblock_gateways_lost_total 1$/m);
  });

  it('the core restarts: the workers stay, are announced again, and work goes on', async () => {
    const [first, second] = [await attach(gateways[0].url), await attach(gateways[1].url)];
    await pool.reaches(await submit(), 'paid');
    const { url } = pool;
    await pool.restart({ port: Number(new URL(url).port) });
    await until('both are back', async () => (await attached()) === 2);
    await pool.reaches(await submit(), 'paid');
    for (const worker of [first, second]) {
      assert.equal(worker.closed, undefined);
      assert.equal(worker.received.filter(({ type }) => type === 'challenge').length, 1);
      assert.equal(worker.received.filter(({ type }) => type === 'welcome').length, 2);
      assert.deepEqual(
        worker.received.filter(({ type }) => type === 'error'),
        [],
      );
    }
  });

  it('Redis is killed, or emptied: both sides find each other again, and work goes on', async () => {
    await attach(gateways[0].url);
    await attach(gateways[1].url);
    await redis.kill();
    await redis.startAgain();
    await pool.reaches(await submit(), 'paid');
    await redis.command('FLUSHALL');
    await pool.reaches(await submit(), 'paid');
    await until('both are there', async () => (await attached()) === 2);
  });

  it('reads are answered by the core, through the gateway; writing is not', async () => {
    const [{ url }] = gateways;
    const { tensors } = await pool.model();
    const hash = tensors[0]?.hash;
    const [direct, through] = await Promise.all(
      [pool.url, url].map((base) =>
        fetch(new URL(`/payload/${hash}`, base), { headers: { range: 'bytes=2-5' } }),
      ),
    );
    assert.equal(through?.status, 206);
    for (const name of ['content-range', 'etag', 'cache-control'])
      assert.equal(through?.headers.get(name), direct?.headers.get(name));
    assert.deepEqual(await through?.arrayBuffer(), await direct?.arrayBuffer());
    await until('ready', async () => (await fetch(new URL('/readyz', url))).status === 200);
    assert.equal((await fetch(new URL('/submissions/zz', url))).status, 400);
    const written = await fetch(new URL('/transfer', url), { method: 'POST', body: '{}' });
    assert.equal(written.status, 405);
  });

  it('/readyz says that the core is away, workers stay, and reads are refused in under a second', async () => {
    const [{ url }] = gateways;
    const worker = await attach(url, { roles: ['chat'] });
    await pool.stop();
    await until('not ready', async () => (await fetch(new URL('/readyz', url))).status === 503);
    const startedMs = performance.now();
    const answer = await fetch(new URL('/model', url));
    assert.equal(answer.status, 503);
    assert.equal(answer.headers.get('retry-after'), '2');
    assert.ok(performance.now() - startedMs < 1_000);
    assert.equal(worker.closed, undefined);
    await pool.start();
  });
});

const failure = { code: 'INTERNAL', message: 'x', details: {} };
