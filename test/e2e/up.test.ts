import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { after, describe, it } from 'node:test';
import { aiblock, ChildHandle, isAlive } from '#test/helpers/child.ts';
import { descendants } from '#test/helpers/processes.ts';
import { tempDir } from '#test/helpers/temp-dir.ts';
import { skipWithout } from '#test/helpers/tools.ts';
import { until } from '#test/helpers/until.ts';
import { ApiClient } from '#worker/client/api-client.ts';

interface Up {
  readonly child: ChildHandle;
  readonly api: ApiClient;
  readonly height: number;
}

describe('aiblock up', { skip: skipWithout('redis-server') }, () => {
  const children: ChildHandle[] = [];
  after(() => Promise.all(children.map((child) => child.stop())));

  async function up(dataDir: string): Promise<Up> {
    const args = ['up', '--data-dir', dataDir, '--port', '0', '--backend', 'wasm', '--json'];
    const child = ChildHandle.aiblock('up', args);
    children.push(child);
    const line = await child.line((text) => text.includes('"type":"ready"') && text);
    const { url, height } = JSON.parse(line) as { url: string; height: { B: number } };
    return { child, api: new ApiClient(url), height: height.B };
  }

  /** Coordinator, Redis, worker and miner are there, and both of the latter got through to the pool. */
  async function whole({ child }: Up): Promise<number[]> {
    await child.line((text) => text.includes('"type":"worker"'));
    return until('coordinator, worker, miner and Redis run', () => {
      const found = descendants(child.pid);
      return found.length >= 4 && found;
    });
  }

  const gone = (pids: readonly number[]) =>
    until('every process ended', () => pids.every((pid) => !isAlive(pid)));

  it('runs once per folder, stops cleanly, and goes on from the same head', async () => {
    const dataDir = await tempDir();
    const first = await up(dataDir);
    const pids = await whole(first);

    const second = await aiblock(['up', '--data-dir', dataDir, '--port', '0']);
    assert.equal(second.code, 1);
    assert.match(second.stderr, /^error STORE_LOCKED: /m);
    assert.ok(second.stderr.includes(String(first.child.pid)), second.stderr);
    assert.ok(first.child.running);

    first.child.kill('SIGINT');
    assert.deepEqual(await first.child.ended, { code: 0, signal: null });
    await gone(pids);
    const again = await up(dataDir);
    const stopped = await aiblock(['verify', '--coordinator', again.api.coordinator]);
    assert.equal(stopped.code, 0, stopped.stdout + stopped.stderr);
    assert.ok(again.height >= first.height);

    // Killed, it takes everything with it, and the next start finds its way.
    const rest = await whole(again);
    again.child.kill('SIGKILL');
    await again.child.ended;
    await gone(rest);
    const third = await up(dataDir);
    assert.ok(third.height >= again.height);
    assert.equal((await third.child.stop()).code, 0);
  });

  it('OPTION: a port that is in use', async () => {
    const holder = createServer().listen(0, '127.0.0.1');
    after(() => holder.close());
    await once(holder, 'listening');
    const { port } = holder.address() as { port: number };
    const { code, stderr } = await aiblock(['up', '--data-dir', await tempDir(), '--port', String(port)]);
    assert.equal(code, 2);
    assert.match(stderr, new RegExp(`error OPTION: .*${port}.*in use`));
    assert.doesNotMatch(stderr, /\n\s+at /);
  });
});
