import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdtemp, readdir, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execPath, getuid } from 'node:process';
import { createInterface } from 'node:readline';
import { describe, it } from 'node:test';
import { newKeyPair } from '#coordinator/store/key-files.ts';
import { modelSchema } from '#shared/api/schemas.ts';
import { aiblock } from '#test/helpers/child.ts';
import { FakeWorker } from '#test/helpers/fake-worker.ts';
import { repositoryPath } from '#test/helpers/repository.ts';
import { fileOf, post } from '#test/helpers/small-genesis.ts';
import { tempDir } from '#test/helpers/temp-dir.ts';
import { makeChain, TestCoordinator, TOKEN } from '#test/helpers/test-coordinator.ts';
import { skipWithout } from '#test/helpers/tools.ts';
import { until } from '#test/helpers/until.ts';

const LAUNCHER = repositoryPath('coordinator/cli/aiblock.mjs');
/** No file of the pool may grow beyond this: to a program that is a full disk. */
const MAX_FILE_KIB = 512;
const NOBODY = 65_534;

describe('a disk that is full', { skip: skipWithout('redis-server') }, () => {
  it('STORE_IO: the pool says so and takes nothing more; what was acknowledged is there afterwards', async () => {
    const dataDir = await mkdtemp(join(tmpdir(), 'aiblock-full-'));
    await makeChain(dataDir);
    const script = `trap "" XFSZ; ulimit -f ${MAX_FILE_KIB}; exec "$@"`;
    const args = [execPath, LAUNCHER, 'coordinator', '--port', '0', '--data-dir', dataDir];
    const child = spawn('bash', ['-c', script, 'bash', ...args], {
      stdio: ['ignore', 'pipe', 'ignore'],
      env: { ...process.env, AIBLOCK_WORKER_TOKEN: TOKEN },
    });
    const ended = once(child, 'exit');
    const acknowledged: string[] = [];
    try {
      const [line] = (await once(createInterface({ input: child.stdout }), 'line')) as [string];
      const { url } = JSON.parse(line) as { url: string };
      const worker = await FakeWorker.attach({ url, key: newKeyPair(), token: TOKEN });
      const refusal = await fillUp(url, acknowledged);
      assert.match(refusal, /^(STORE_IO|UNAVAILABLE)$/);
      assert.ok(acknowledged.length > 0);
      const ready = await until('the pool says that it is not ready', async () => {
        const response = await fetch(new URL('/readyz', url));
        return response.status === 503 && (await response.text());
      });
      assert.match(ready, /"store":\{"ok":false/);
      await worker.close();
    } finally {
      child.kill('SIGKILL');
      await ended;
    }
    const pool = await TestCoordinator.start({ dataDir });
    await pool.attach();
    for (const id of acknowledged) assert.equal((await pool.reaches(id, 'paid', 'rejected')).id, id);
    const verified = await aiblock(['verify', '--coordinator', pool.url]);
    assert.equal(verified.code, 0, verified.stdout);
    await pool.destroy();
  });
});

/** Submits whole models until one is refused; its code. */
async function fillUp(url: string, acknowledged: string[]): Promise<string> {
  for (let value = 1; ; value++) {
    const answer = await fetch(new URL('/model', url));
    const model = modelSchema.parse(await answer.json());
    const tensors = Object.fromEntries(model.tensors.map(({ name }, i) => [name, value + i / 1024]));
    const file = fileOf(model, { key: newKeyPair(), tensors });
    const { status, code } = await post(url, file);
    if (code !== undefined) return code;
    assert.equal(status, 202);
    acknowledged.push(file.id);
    const settled = await until('it is paid, or the store has failed', async () => {
      const view = await fetch(new URL(`/submissions/${file.id}`, url));
      const ready = await fetch(new URL('/readyz', url));
      return /"state":"(paid|rejected)"/.test(await view.text()) || ready.status === 503;
    });
    assert.ok(settled);
  }
}

describe('a folder that cannot be written', () => {
  it('STORE_IO, exit code 1: a file system that takes nothing', async () => {
    for (const [dataDir, ...args] of [
      ['/sys/aiblock', 'coordinator', '--init-dev', '--port', '0'],
      ['/sys/aiblock', 'reindex'],
    ] as const) {
      const { code, stderr } = await aiblock([...args, '--data-dir', dataDir]);
      assert.equal(code, 1, stderr);
      assert.match(stderr, /^error STORE_IO: .*\/aiblock/m);
    }
  });

  it('STORE_IO, exit code 1: a folder of another user, which stays as it is', async () => {
    const dataDir = await tempDir();
    await makeChain(dataDir);
    await chmod(dataDir, 0o755);
    for (const entry of await readdir(dataDir, { recursive: true, withFileTypes: true }))
      await chmod(join(entry.parentPath, entry.name), entry.isDirectory() ? 0o555 : 0o444);
    const before = await readdir(join(dataDir, 'store'), { recursive: true });
    const as = getuid?.() === 0 ? { uid: NOBODY, gid: NOBODY } : {};
    const cache = await mkdtemp(join(tmpdir(), 'aiblock-nobody-'));
    await chmod(cache, 0o777);
    const run = (...args: string[]) =>
      spawnSync(execPath, args, { ...as, encoding: 'utf8', env: { PATH: '/usr/bin:/bin', TMPDIR: cache } });
    const tried = run(LAUNCHER, '--version');
    if (tried.status !== 0) {
      // A checkout in a private folder: the folder of before stands for it.
      assert.match(tried.stderr, /EACCES|EPERM|Cannot find module/);
      return;
    }
    const { status, stderr } = run(LAUNCHER, 'coordinator', '--port', '0', '--data-dir', dataDir);
    assert.equal(status, 1, stderr);
    assert.match(stderr, /^error STORE_IO: .*must be able to write there/m);
    assert.deepEqual(await readdir(join(dataDir, 'store'), { recursive: true }), before);
    await chmod(join(dataDir, 'store'), 0o755);
    await chmod(join(dataDir, 'store', 'db'), 0o755);
    assert.ok((await stat(cache)).isDirectory());
    await rm(cache, { recursive: true });
  });
});
