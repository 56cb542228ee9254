import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { execPath } from 'node:process';
import { it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { copyStore } from '#coordinator/store/copy-store.ts';
import { bucketKey, bucketRange } from '#coordinator/store/keys.ts';
import { openRocksKv } from '#coordinator/store/rocks-kv.ts';
import { readU64be } from '#shared/crypto/bytes.ts';
import { tempDir } from '#test/helpers/temp-dir.ts';
import { until } from '#test/helpers/until.ts';

const WRITER = fileURLToPath(import.meta.resolve('#test/helpers/kv-writer.ts'));
const COPIES = 12;

async function acknowledged(log: string): Promise<number[]> {
  const text = await readFile(log, 'utf8').catch(() => '');
  return text
    .split('\n')
    .slice(0, -1)
    .filter((line) => line !== 'open')
    .map(Number);
}

it('copies a store that is being written to: all that was acknowledged, and no batch without those before it', async (t) => {
  const dir = await tempDir();
  const [store, log] = [join(dir, 'store'), join(dir, 'acknowledged')];
  const child = spawn(execPath, ['--import', 'tsx', WRITER, store, log], {
    stdio: ['ignore', 'inherit', 'inherit'],
  });
  const exited = once(child, 'exit');
  const manifests = new Set<string>();
  try {
    for (let copy = 0; copy < COPIES; copy++) {
      const last = copy * 20;
      await until('the writer goes on', async () => (await acknowledged(log)).length > last);
      const before = await acknowledged(log);
      const to = join(dir, `copy-${copy}`);
      await mkdir(to);
      await copyStore(store, to);
      manifests.add((await readdir(join(to, 'db'))).filter((name) => name.endsWith('.sst')).join());
      const kv = await openRocksKv(to);
      const found: number[] = [];
      for await (const [, value] of kv.entries(bucketRange(0x10, 1))) found.push(Number(readU64be(value)));
      assert.deepEqual(
        found,
        Array.from(found, (_, i) => i + 1),
        'a batch is missing before a later one',
      );
      assert.ok(found.length >= Math.max(0, ...before), 'an acknowledged batch is missing');
      const head = await kv.get(bucketKey(0x10, 0));
      assert.equal(head && Number(readU64be(head)), found.length);
      for await (const _entry of kv.entries());
      await kv.close();
    }
  } finally {
    child.kill('SIGKILL');
    await exited;
  }
  assert.ok(!(await readdir(store)).includes('copy'), 'nothing is left behind');
  await (await openRocksKv(store)).close();
  t.diagnostic(
    `${COPIES} copies, ${manifests.size} sets of tables, ${(await acknowledged(log)).length} batches`,
  );
});

it('OPTION: a folder without a store; STORE_LOCKED: two copies at once', async () => {
  const dir = await tempDir();
  await mkdir(join(dir, 'to'));
  await assert.rejects(copyStore(join(dir, 'none'), join(dir, 'to')), { code: 'OPTION' });
  const store = join(dir, 'store');
  await (await openRocksKv(store)).close();
  const both = await Promise.allSettled([
    copyStore(store, join(dir, 'to')),
    copyStore(store, join(dir, 'two')),
  ]);
  const codes = both.map((result) => (result.status === 'rejected' ? result.reason.code : 'fine'));
  assert.deepEqual(codes.sort(), ['STORE_LOCKED', 'fine']);
});
