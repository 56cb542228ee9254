import assert from 'node:assert/strict';
import { after, afterEach, describe, it } from 'node:test';
import { EVALUATION_DEFAULTS } from '#coordinator/evaluation/evaluation.ts';
import { newKeyPair } from '#coordinator/store/key-files.ts';
import { toHex } from '#shared/crypto/bytes.ts';
import { better, type EvaluateLease, type FakeWorker, type MineLease } from '#test/helpers/fake-worker.ts';
import { fileOf, post, SMALL_TENSOR } from '#test/helpers/small-genesis.ts';
import { TestCoordinator } from '#test/helpers/test-coordinator.ts';
import { skipWithout } from '#test/helpers/tools.ts';

describe('workers that fail or lie', { skip: skipWithout('redis-server') }, () => {
  let pool: TestCoordinator;
  const started: TestCoordinator[] = [];
  const start = async (options: Parameters<typeof TestCoordinator.start>[0] = {}) => {
    pool = await TestCoordinator.start(options);
    started.push(pool);
  };
  const workers: FakeWorker[] = [];
  const attach = async (options: Parameters<TestCoordinator['attach']>[0] = {}) => {
    const worker = await pool.attach(options);
    workers.push(worker);
    return worker;
  };
  afterEach(async () => {
    for (const worker of workers.splice(0)) await worker.close();
  });
  after(async () => {
    for (const each of started) await each.destroy();
  });
  let value = 0.125;
  const submit = async () => {
    value += 0.25;
    const tensors = { [SMALL_TENSOR]: value };
    const file = fileOf(await pool.model(), { key: newKeyPair(), tensors });
    assert.equal((await post(pool.url, file)).status, 202);
    return file.id;
  };
  /** Only submissions: the head's own measurement is answered as it should be. */
  const lying = (lie: (worker: FakeWorker, lease: EvaluateLease) => void) => ({
    roles: ['evaluate'] as const,
    onEvaluate: (worker: FakeWorker, lease: EvaluateLease) => {
      if (lease.changed.length > 0) return lie(worker, lease);
      worker.evaluated(lease);
      worker.send({ type: 'ready', role: 'evaluate' });
    },
  });

  it('hands the lease of a lost worker to another, and refuses the late result', async () => {
    await start();
    const leases: EvaluateLease[] = [];
    const lost = await attach(lying((_, lease) => leases.push(lease)));
    const id = await submit();
    await lost.until(() => leases.length === 1);
    lost.drop();
    const again = await pool.attach({ key: lost.options.key, roles: ['chat'] });
    again.evaluated(leases[0] as EvaluateLease);
    assert.equal(await again.refusal(), 'LEASE_UNKNOWN');
    await again.close();
    await attach();
    assert.equal((await pool.reaches(id, 'paid', 'rejected')).state, 'paid');
  });

  it('takes a lease back that is not finished in time, and gives a submission up after three', async () => {
    await start({ evaluation: { ...EVALUATION_DEFAULTS, tickMs: 100, leaseMs: 400 } });
    const worker = await attach(
      lying((self) => setTimeout(() => self.send({ type: 'ready', role: 'evaluate' }), 500)),
    );
    const id = await submit();
    await worker.next('cancel');
    assert.equal((await pool.reaches(id, 'paid', 'rejected')).error?.code, 'EVALUATION_CRASHED');
    await worker.close();
    await attach();
    assert.equal((await pool.reaches(await submit(), 'paid', 'rejected')).state, 'paid');
  });

  it('refuses false results by a code, bans the liar, and lets an honest worker judge', async () => {
    await start();
    const lies: ((worker: FakeWorker, lease: EvaluateLease) => void)[] = [
      (worker, lease) => worker.evaluated(lease, { signature: '11'.repeat(64) }),
      (worker, lease) => worker.evaluated(lease, { base: [1], candidate: [1] }),
      (worker, lease) => worker.evaluated(lease, { candidate: lease.windows.map(() => 0.5) }),
    ];
    const key = newKeyPair();
    const liar = await attach({
      key,
      ...lying((worker, lease) => {
        lies.shift()?.(worker, lease);
        worker.send({ type: 'ready', role: 'evaluate' });
      }),
    });
    const id = await submit();
    await liar.until(() => liar.closed !== undefined);
    assert.equal(liar.closed?.code, 4403);
    const codes = liar.received.filter((m) => m.type === 'error').map((m) => m.error.code);
    assert.deepEqual(codes, ['ATTESTATION', 'ATTESTATION', 'ATTESTATION']);
    const back = await pool.attach({ key });
    assert.equal(await back.refusal(), 'BANNED');
    await pool.reaches(id, 'queued');
    await attach();
    assert.equal((await pool.reaches(id, 'paid', 'rejected')).state, 'paid');
  });

  it('refuses nonces outside the range or above the target, and goes on with another worker', async () => {
    await start();
    await attach({ roles: ['evaluate'] });
    const leases: MineLease[] = [];
    const liar = await attach({ roles: ['mine'], onMine: (_, lease) => leases.push(lease) });
    const id = await submit();
    await liar.until(() => leases.length === 1);
    const [lease] = leases as [MineLease];
    liar.share({ ...lease, lease: 'work-1-x' }, 1n);
    assert.equal(await liar.refusal(), 'LEASE_UNKNOWN');
    liar.share({ ...lease, work: 'work-999999' }, 1n);
    liar.share(lease, BigInt(lease.start) + BigInt(lease.count));
    await liar.until(() => liar.received.filter((m) => m.type === 'error').length === 3);
    const codes = liar.received.filter((m) => m.type === 'error').map((m) => m.error.code);
    assert.deepEqual(codes, ['LEASE_UNKNOWN', 'WORK_STALE', 'WORK_RANGE']);
    assert.equal((await pool.submission(id)).state, 'mining');
    await attach({ roles: ['mine'] });
    await pool.reaches(id, 'paid');
  });

  it('shuts out floods, unknown messages, binary frames and greed', async () => {
    await start();
    const flood = await attach({ roles: ['chat'] });
    for (let i = 0; i < 1_000 && !flood.closed; i++)
      flood.send({ type: 'heartbeat', hashesPerSecond: 1, tokensPerSecond: 0, rssBytes: 0 });
    await flood.until(() => flood.closed !== undefined);
    assert.equal(flood.closed?.code, 4403);
    const strange = await attach({ roles: ['chat'] });
    for (let i = 0; i < 20; i++) strange.sendText('{"type":"steal"}');
    await strange.until(() => strange.closed !== undefined);
    assert.equal(strange.closed?.code, 4403);
    assert.equal(await strange.refusal(), 'MESSAGE');
    const binary = await attach({ roles: ['chat'] });
    binary.sendText(Buffer.from([1, 2, 3]));
    await binary.until(() => binary.closed !== undefined);
    assert.equal(binary.closed?.code, 1003);
    const greedy = await attach({ roles: ['mine'] });
    for (let i = 0; i < 64; i++) greedy.send({ type: 'ready', role: 'mine' });
    assert.equal(await greedy.refusal(), 'TOO_MANY_REQUESTS');
    const wild = await attach({ roles: ['mine'] });
    wild.sendText('{"type":"heartbeat","hashesPerSecond":1e308,"tokensPerSecond":0,"rssBytes":0}');
    assert.equal(await wild.refusal(), 'MESSAGE');
    const stranger = await pool.attach({ token: 'wrong' });
    assert.equal(await stranger.refusal(), 'UNAUTHORISED');
    assert.equal(stranger.closed?.code, 4401);
  });

  it('counts a silent worker as lost, and a second connection of a key replaces the first', async () => {
    await start();
    const silent = await attach(lying(() => undefined));
    const id = await submit();
    await silent.next('evaluate', ({ changed }) => changed.length > 0);
    silent.fallSilent();
    await silent.until(() => silent.closed !== undefined);
    await attach({ losses: better(50_000) });
    await pool.reaches(id, 'paid');
    const key = newKeyPair();
    const first = await attach({ key, roles: ['chat'] });
    const second = await attach({ key, roles: ['chat'] });
    await first.until(() => first.closed !== undefined);
    assert.equal(first.closed?.code, 4409);
    assert.equal(second.closed, undefined);
    assert.equal(toHex(second.options.key.publicKey), toHex(key.publicKey));
  });
});
