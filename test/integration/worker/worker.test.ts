import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { type AddressInfo, connect } from 'node:net';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { createServer } from 'node:tls';

import { askOperator } from '#coordinator/operator/ask.ts';
import { newKeyPair } from '#coordinator/store/key-files.ts';
import { overviewSchema } from '#shared/api/schemas.ts';
import { aiblock, ChildHandle } from '#test/helpers/child.ts';
import { keptLog } from '#test/helpers/quiet-log.ts';
import { fileOf, post, SMALL_TENSOR } from '#test/helpers/small-genesis.ts';
import { tempDir } from '#test/helpers/temp-dir.ts';
import { TestCoordinator } from '#test/helpers/test-coordinator.ts';
import { skipWithout } from '#test/helpers/tools.ts';
import { until } from '#test/helpers/until.ts';
import { runWorker } from '#worker/node.ts';
import { type WorkerStatus, workerStatusSchema } from '#worker/status/status.ts';
import { readAddress, statusFile } from '#worker/status/status-file.ts';

const HOUR_MS = 3_600_000;
const NOBODY = 'http://127.0.0.1:9';

describe('a worker', { skip: skipWithout('redis-server') }, () => {
  let pool: TestCoordinator;
  before(async () => {
    pool = await TestCoordinator.start();
  });
  after(() => pool.destroy());
  const token = async () => {
    const input = { name: 'attic', owner: null, uses: 1, expires: Date.now() + HOUR_MS / 2 };
    const made = await askOperator(pool.dataDir, { operation: 'create-token', input });
    return (made as { secret: string }).secret;
  };
  const statusOf = async (dataDir: string): Promise<WorkerStatus> => {
    const url = await readAddress(statusFile(dataDir));
    return workerStatusSchema.parse(await (await fetch(`${url}/status`)).json());
  };

  for (const skewMs of [HOUR_MS, -HOUR_MS])
    it(`mines with a clock that is ${skewMs / HOUR_MS} h ahead, by a token of half an hour, at the second coordinator of two`, async () => {
      const dataDir = await tempDir();
      const secret = await token();
      const owner = newKeyPair();
      const key = newKeyPair();
      const stop = new AbortController();
      const ended = runWorker(
        {
          coordinators: [NOBODY, pool.url],
          dataDir,
          roles: ['mine'],
          threads: 1,
          grinder: 'wasm',
          backend: 'auto',
          evaluators: 1,
          drainMs: 0,
          statusPort: 0,
          name: 'skewed',
          software: 'test',
        },
        {
          log: keptLog().log,
          now: () => Date.now() + skewMs,
          random: Math.random,
          key,
          owner,
          machine: { cores: 2, memoryBytes: 4e9, node: '20' },
          token: async () => secret,
          memoryBytes: () => 1e8,
        },
        stop.signal,
      );
      const judge = await pool.attach({ roles: ['evaluate'] });
      const tensors = { [SMALL_TENSOR]: 3 + Math.sign(skewMs) / 2 };
      const file = fileOf(await pool.model(), { key: newKeyPair(), tensors });
      assert.equal((await post(pool.url, file)).status, 202);
      assert.equal((await pool.reaches(file.id, 'paid', 'rejected')).state, 'paid');
      const overview = overviewSchema.parse((await pool.get('/overview')).body);
      const seen = overview.workers.find(({ name, connected }) => name === 'skewed' && connected);
      assert.equal(seen?.owner, owner.address);
      assert.ok((seen?.capabilities?.hashes_per_second ?? 0) > 10_000);
      assert.equal(seen?.capabilities?.cores, 2);
      assert.ok(Math.abs((seen?.last_seen_at ?? 0) - Date.now()) < HOUR_MS / 2, 'by the clock of the pool');
      const status = await statusOf(dataDir);
      assert.equal(status.connected, true);
      assert.equal(status.owner, owner.address);
      assert.notEqual(status.balance, null);
      stop.abort();
      await ended;
      await assert.rejects(statusOf(dataDir), { code: 'UNAVAILABLE' });
      await judge.close();
    });

  it('goes through a proxy with TLS, whose certificate it checks', {
    skip: skipWithout('openssl'),
  }, async () => {
    const dir = await tempDir();
    const [keyFile, certFile] = [join(dir, 'key.pem'), join(dir, 'cert.pem')];
    const subject = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost'];
    const files = ['-keyout', keyFile, '-out', certFile, '-days', '2', '-nodes'];
    const kind = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1'];
    execFileSync('openssl', ['req', '-x509', ...kind, ...files, ...subject], { stdio: 'ignore' });
    const { hostname, port } = new URL(pool.url);
    const proxy = createServer({ key: await readFile(keyFile), cert: await readFile(certFile) }, (socket) => {
      const core = connect(Number(port), hostname);
      socket.pipe(core).pipe(socket);
      for (const end of [socket, core]) end.on('error', () => [socket, core].map((s) => s.destroy()));
    });
    proxy.on('tlsClientError', () => undefined);
    await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve));
    after(() => proxy.close());
    const url = `wss://localhost:${(proxy.address() as AddressInfo).port}`;
    const dataDir = join(dir, 'data');
    const options = ['--coordinator', url, '--data-dir', dataDir, '--roles', 'mine', '--threads', '1'];
    const distrusted = await aiblock(['doctor', ...options.slice(0, 4), '--no-backends']);
    assert.match(distrusted.stdout, /FAULT +network .*(SELF_SIGNED|CERT)/);
    assert.match(distrusted.stdout, /NODE_EXTRA_CA_CERTS/);
    const trust = { NODE_EXTRA_CA_CERTS: certFile };
    const args = ['worker', ...options, '--name', 'behind TLS', '--token', await token()];
    const child = ChildHandle.aiblock('worker', args, trust);
    await until('it is connected', async () => (await statusOf(dataDir)).connected);
    assert.notEqual((await statusOf(dataDir)).balance, null, 'the API goes the same way');
    child.kill('SIGTERM');
    assert.equal((await child.ended).code, 0);
  });

  it('as a process: enrols, tells its status, says goodbye at SIGTERM; UNAUTHORISED without a token', async () => {
    const dataDir = await tempDir();
    const options = ['--coordinator', pool.url, '--data-dir', dataDir, '--roles', 'mine', '--threads', '1'];
    const refused = await aiblock(['worker', ...options, '--name', 'attic']);
    assert.equal(refused.code, 1);
    assert.match(refused.stderr, /error UNAUTHORISED: .*token/);
    await mkdir(join(dataDir, 'worker'), { recursive: true });
    await writeFile(join(dataDir, 'worker', 'status.json'), '{"url":"http://127.0.0.1:9"}\n');
    const nobody = await aiblock(['worker', 'status', '--data-dir', dataDir]);
    assert.match(nobody.stderr, /error UNAVAILABLE: .*does not answer/);
    const child = ChildHandle.aiblock('worker', [
      'worker',
      ...options,
      '--name',
      'attic',
      '--token',
      await token(),
    ]);
    await until('it is connected', async () => (await statusOf(dataDir)).connected);
    const told = await aiblock(['worker', 'status', '--data-dir', dataDir]);
    assert.equal(told.code, 0, told.stderr);
    assert.match(told.stdout, /^worker +attic, aiblock-pool\//);
    assert.match(told.stdout, /^hashing +[0-9,]+ hashes\/s/m);
    assert.match(told.stdout, /^status page +http:\/\/127\.0\.0\.1:/m);
    child.kill('SIGTERM');
    assert.equal((await child.ended).code, 0);
    const lines = await askOperator(pool.dataDir, { operation: 'list-workers', input: {} });
    const line = (lines as { name: string; connected: boolean }[]).find(({ name }) => name === 'attic');
    assert.equal(line?.connected, false);
  });
});
