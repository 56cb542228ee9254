import assert from 'node:assert/strict';
import { readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { Command } from 'commander';
import type { CliEnvironment } from '#coordinator/cli/environment.ts';
import { register as workerToken } from '#coordinator/cli/worker-token.ts';
import { register as workersCommand } from '#coordinator/cli/workers.ts';
import { askOperator } from '#coordinator/operator/ask.ts';
import { newKeyPair } from '#coordinator/store/key-files.ts';
import { overviewSchema } from '#shared/api/schemas.ts';
import { enrolmentSchema } from '#shared/api/worker-schemas.ts';
import { type KeyPair, keyPair } from '#shared/crypto/keys.ts';
import { parseEnvironment } from '#shared/env.ts';
import { type EvaluateLease, FakeWorker } from '#test/helpers/fake-worker.ts';
import { fileOf, post, SMALL_TENSOR } from '#test/helpers/small-genesis.ts';
import { tempDir } from '#test/helpers/temp-dir.ts';
import { TestCoordinator } from '#test/helpers/test-coordinator.ts';
import { skipWithout } from '#test/helpers/tools.ts';
import { until } from '#test/helpers/until.ts';

/** Runs a command of the operator as `aiblock` does; gives what it printed. */
async function aiblock(dataDir: string, ...args: string[]): Promise<string> {
  let printed = '';
  const environment = {
    settings: parseEnvironment({ AIBLOCK_DATA_DIR: dataDir }),
    now: Date.now,
    out: (text: string) => {
      printed += text;
    },
    err: () => undefined,
  } as unknown as CliEnvironment;
  const program = new Command('aiblock').exitOverride().configureOutput({ writeErr: () => undefined });
  for (const register of [workerToken, workersCommand]) register(program, environment);
  await program.parseAsync(['node', 'aiblock', ...args]);
  return printed.trim();
}

describe('the operator', { skip: skipWithout('redis-server') }, () => {
  let pool: TestCoordinator;
  const run = (...args: string[]) => aiblock(pool.dataDir, ...args);
  before(async () => {
    pool = await TestCoordinator.start();
  });
  after(() => pool.destroy());
  let value = 0.125;
  const submit = async () => {
    value += 0.25;
    const file = fileOf(await pool.model(), { key: newKeyPair(), tensors: { [SMALL_TENSOR]: value } });
    assert.equal((await post(pool.url, file)).status, 202);
    return file.id;
  };
  const shown = async (address: string) =>
    overviewSchema.parse((await pool.get('/overview')).body).workers.find((w) => w.address === address);

  it('keeps the credential for who can read the data folder', async () => {
    const path = join(pool.dataDir, 'operator.json');
    assert.equal((await stat(path)).mode & 0o777, 0o600);
    const { url } = JSON.parse(await readFile(path, 'utf8')) as { url: string };
    assert.match(url, /^http:\/\/127\.0\.0\.1:/);
    for (const authorization of [undefined, 'Bearer ', `Bearer ${'0'.repeat(64)}`]) {
      const headers = authorization === undefined ? {} : { authorization };
      const response = await fetch(`${url}/list-tokens`, { method: 'POST', body: '{}', headers });
      assert.equal(response.status, 401);
    }
    assert.equal((await fetch(`${pool.url}/list-tokens`, { method: 'POST', body: '{}' })).status, 404);
  });

  it('lets a stranger in with a token, once, for the owner it names', async () => {
    const owner = newKeyPair();
    const token = await run('worker-token', 'create', '--name', 'attic', '--owner', owner.address);
    const worker = await pool.attach({ token, name: 'attic' });
    const { address } = keyPair(worker.options.key.secretKey);
    assert.equal((await worker.next('welcome')).owner, owner.address);
    assert.equal((await shown(address))?.owner, owner.address);
    const second = await pool.attach({ token });
    assert.equal(await second.refusal(), 'UNAUTHORISED');
    assert.equal(second.closed?.code, 4401);
    const [made] = JSON.parse(await run('worker-token', 'list', '--json'));
    assert.deepEqual([made.name, made.used, made.uses], ['attic', 1, 1]);
    assert.match(await run('worker-token', 'list'), /attic +used +1\/1/);
    await worker.close();
    await until('the worker is away', async () => !(await shown(address))?.connected);
    assert.match(await run('workers', 'list'), new RegExp(`attic +${address} +attic +active +away since`));
  });

  it('UNAUTHORISED: a token that the operator revoked; NOT_FOUND: one that is none', async () => {
    const token = await run('worker-token', 'create', '--name', 'lost');
    const made = JSON.parse(await run('worker-token', 'list', '--json')).find(
      ({ name }: { name: string }) => name === 'lost',
    );
    await run('worker-token', 'revoke', made.id);
    assert.equal(await (await pool.attach({ token })).refusal(), 'UNAUTHORISED');
    await assert.rejects(run('worker-token', 'revoke', 'ffffffffffff'), { code: 'NOT_FOUND' });
    await assert.rejects(run('worker-token', 'create', '--name', 'x', '--expires', 'soon'), /30m, 12h, 7d/);
    await assert.rejects(run('worker-token', 'create', '--name', 'x', '--expires', '2020-01-01'), {
      code: 'OPTION',
    });
  });

  it('tells who asks whether a key and a token are good, and uses nothing up', async () => {
    const look = async (key?: KeyPair, token?: string) => {
      const url = new URL('/enrolment', pool.url);
      if (key) url.searchParams.set('key', Buffer.from(key.publicKey).toString('hex'));
      const headers = token === undefined ? {} : { authorization: `Bearer ${token}` };
      return enrolmentSchema.parse(await (await fetch(url, { headers })).json());
    };
    const key = newKeyPair();
    assert.deepEqual(await look(), { key: null, token: null });
    const token = await run('worker-token', 'create', '--name', 'looked at');
    for (let i = 0; i < 2; i++) assert.deepEqual(await look(key, token), { key: 'unknown', token: 'open' });
    assert.equal((await look(key, 'strange')).token, 'unknown');
    await (await pool.attach({ key, token, name: 'looked at' })).close();
    assert.deepEqual(await look(key, token), { key: 'active', token: 'used' });
    await run('workers', 'pause', 'looked at');
    assert.equal((await look(key)).key, 'paused');
    assert.equal((await fetch(new URL('/enrolment?key=5', pool.url))).status, 400);
  });

  it('pauses a worker: its lease goes back and it gets none, also after a restart of the pool, until it is resumed', async () => {
    const leases: EvaluateLease[] = [];
    const held = {
      name: 'lazy',
      roles: ['evaluate'] as const,
      onEvaluate: (_: FakeWorker, lease: EvaluateLease) => void leases.push(lease),
    };
    const worker = await pool.attach(held);
    const id = await submit();
    await worker.until(() => leases.length > 0);
    assert.match(await run('workers', 'pause', 'lazy'), /is paused$/);
    await worker.until(() => worker.closed !== undefined);
    assert.equal(worker.closed?.code, 4410);
    await pool.restart();
    leases.splice(0);
    const back = await pool.attach({ ...held, key: worker.options.key });
    assert.equal((await back.next('standing')).standing, 'paused');
    const other = await pool.attach({ roles: ['evaluate'], name: 'other' });
    await until('the other one judged it', async () => (await pool.submission(id)).state === 'mining');
    assert.equal(leases.length, 0);
    await other.close();
    const next = await submit();
    await run('workers', 'resume', 'lazy');
    await back.until(() => leases.length > 0);
    assert.equal((await pool.submission(next)).state, 'evaluating');
    await back.close();
  });

  it('drains a worker: it finishes what it holds, and gets nothing new', async () => {
    const leases: EvaluateLease[] = [];
    const worker = await pool.attach({
      name: 'draining',
      roles: ['evaluate', 'mine'],
      onEvaluate: (self, lease) => {
        leases.push(lease);
        self.send({ type: 'ready', role: 'evaluate' });
      },
    });
    await worker.until(() => leases.length > 0);
    await run('workers', 'drain', 'draining');
    assert.equal((await worker.next('standing')).standing, 'draining');
    const had = leases.length;
    for (const lease of leases) worker.evaluated(lease);
    await until('it holds nothing', async () => {
      const lines = JSON.parse(await run('workers', 'list', '--json')) as { name: string; holds: number }[];
      return lines.find(({ name }) => name === 'draining')?.holds === 0;
    });
    await submit();
    const { body } = await pool.get('/overview');
    assert.equal(overviewSchema.parse(body).workers.find((w) => w.name === 'draining')?.connected, true);
    assert.equal(leases.length, had);
    await worker.close();
  });

  it('a worker that drains of itself gets nothing new', async () => {
    const leases: EvaluateLease[] = [];
    const worker = await pool.attach({
      roles: ['evaluate'],
      onEvaluate: (_, lease) => void leases.push(lease),
    });
    await worker.until(() => leases.length > 0);
    worker.send({ type: 'ready', role: 'evaluate' });
    worker.send({ type: 'drain' });
    worker.send({ type: 'ready', role: 'evaluate' });
    const [lease] = leases as [EvaluateLease];
    worker.evaluated(lease);
    await submit();
    await new Promise((resolve) => setTimeout(resolve, 500));
    assert.equal(leases.length, 1);
    worker.send({ type: 'goodbye' });
    await worker.until(() => worker.closed !== undefined);
    assert.equal(worker.closed?.code, 1000);
  });

  it('UNAUTHORISED: a worker that was revoked, at once and from then on', async () => {
    const worker = await pool.attach({ name: 'rogue' });
    await run('workers', 'revoke', 'rogue');
    await worker.until(() => worker.closed !== undefined);
    assert.equal(worker.closed?.code, 4403);
    const back = await pool.attach({ key: worker.options.key, name: 'rogue' });
    assert.equal(await back.refusal(), 'UNAUTHORISED');
    await run('workers', 'resume', 'rogue');
    const again = await pool.attach({ key: worker.options.key, name: 'rogue' });
    assert.notEqual(again.bearer, '');
    await again.close();
  });

  it('NOT_FOUND: a worker that is not enrolled; BAD_REQUEST: a name of two, an input that is none', async () => {
    await assert.rejects(run('workers', 'pause', 'nobody'), { code: 'NOT_FOUND' });
    for (let i = 0; i < 2; i++) await (await pool.attach({ name: 'twin' })).close();
    await assert.rejects(run('workers', 'pause', 'twin'), { code: 'BAD_REQUEST' });
    const ask = (operation: string, input: unknown) => askOperator(pool.dataDir, { operation, input });
    await assert.rejects(ask('set-standing', { worker: 'twin', standing: 'fired' }), { code: 'BAD_REQUEST' });
    await assert.rejects(ask('list-workers', { all: true }), { code: 'BAD_REQUEST' });
    await assert.rejects(ask('constructor', {}), { code: 'NOT_FOUND' });
    const terms = { name: 'x', owner: '0x1', expires: Date.now() + 1_000, uses: 1 };
    await assert.rejects(ask('create-token', terms), { code: 'ADDRESS' });
  });

  it('knows a worker by the name of its token, unless a worker has that name; BAD_REQUEST: a token of two', async () => {
    const enrol = async (name: string, ...uses: string[]) => {
      const token = await run('worker-token', 'create', '--name', name, ...uses);
      const worker = await pool.attach({ token, name: 'some host', roles: ['mine'] });
      return { token, worker, address: worker.options.key.address };
    };
    const shed = await enrol('shed');
    const listed = await run('workers', 'list');
    assert.match(listed, new RegExp(`some host +${shed.address} +shed +active`));
    assert.match(listed, /^name +address +token +standing/);
    assert.equal(await run('workers', 'drain', 'shed'), `some host (${shed.address}) is draining`);
    assert.equal((await shed.worker.next('standing')).standing, 'draining');
    const named = await pool.attach({ name: 'shed', roles: ['mine'] });
    assert.match(
      await run('workers', 'pause', 'shed'),
      new RegExp(`${named.options.key.address}.* is paused$`),
    );
    const farm = await enrol('farm', '--uses', '2');
    const second = await pool.attach({ token: farm.token, name: 'some host', roles: ['mine'] });
    await assert.rejects(run('workers', 'drain', 'farm'), { code: 'BAD_REQUEST' });
    for (const worker of [shed.worker, farm.worker, second]) await worker.close();
  });

  it('a token and the worker that it enrolled outlive a restart', async () => {
    const token = await run('worker-token', 'create', '--name', 'cut');
    const worker = await FakeWorker.attach({ url: pool.url, key: newKeyPair(), token });
    await pool.restart();
    const back = await FakeWorker.attach({ url: pool.url, key: worker.options.key, token: '' });
    assert.notEqual(back.bearer, '');
    const other = await FakeWorker.attach({ url: pool.url, key: newKeyPair(), token });
    assert.equal(await other.refusal(), 'UNAUTHORISED');
    for (const each of [worker, back, other]) await each.close();
  });

  it('does the same on the store of a pool that does not run, also where a killed one left its address', async () => {
    const access = await readFile(join(pool.dataDir, 'operator.json'), 'utf8');
    await pool.stop();
    const token = await run('worker-token', 'create', '--name', 'offline');
    await writeFile(join(pool.dataDir, 'operator.json'), access, { mode: 0o600 });
    assert.match(await run('worker-token', 'list'), /offline +open +0\/1/);
    await pool.start();
    const worker = await pool.attach({ token });
    assert.notEqual(worker.bearer, '');
    await worker.close();
  });

  it('UNAVAILABLE: a pool runs, and its operator API does not answer', async () => {
    const path = join(pool.dataDir, 'operator.json');
    const access = await readFile(path, 'utf8');
    await writeFile(path, '{');
    await assert.rejects(run('workers', 'list'), { code: 'UNAVAILABLE' });
    await writeFile(path, access);
    assert.match(await run('workers', 'list'), /^name +address/);
  });
});

it('OPTION: a folder that holds no pool is not made into one', async () => {
  const dir = await tempDir();
  await assert.rejects(aiblock(dir, 'workers', 'list'), { code: 'OPTION' });
  await assert.rejects(stat(join(dir, 'store')), { code: 'ENOENT' });
});
