import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { execPath } from 'node:process';
import { it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { bucketKey, bucketRange } from '#coordinator/store/keys.ts';
import type { KV } from '#coordinator/store/kv.ts';
import { openRocksKv } from '#coordinator/store/rocks-kv.ts';
import { readU64be } from '#shared/crypto/bytes.ts';
import { tempDir } from '#test/helpers/temp-dir.ts';

const KILLS = 15;
const WRITER = fileURLToPath(import.meta.resolve('#test/helpers/kv-writer.ts'));

/** Starts the writer, waits for its first write of this run, kills it at a random moment after that. */
async function writeAndKill(store: string, log: string): Promise<void> {
  const before = await lines(log);
  const child = spawn(execPath, ['--import', 'tsx', WRITER, store, log], {
    stdio: ['ignore', 'inherit', 'inherit'],
  });
  const exited = once(child, 'exit');
  while ((await lines(log)).length === before.length) {
    assert.equal(child.exitCode, null, 'the writer ended by itself');
    await sleep(5);
  }
  await sleep(Math.random() * 250);
  child.kill('SIGKILL');
  await exited;
}

async function lines(path: string): Promise<string[]> {
  const text = await readFile(path, 'utf8').catch(() => '');
  return text.split('\n').slice(0, -1);
}

async function numbers(kv: KV, column: number): Promise<number[]> {
  const found: number[] = [];
  for await (const [, value] of kv.entries(bucketRange(0x10, column))) found.push(Number(readU64be(value)));
  return found;
}

it('loses no acknowledged batch and tears none when the process is killed', async (t) => {
  const dir = await tempDir();
  const store = join(dir, 'store');
  const log = join(dir, 'acknowledged');
  let acknowledged: number[] = [];
  for (let kill = 0; kill < KILLS; kill++) {
    await writeAndKill(store, log);
    const kv = await openRocksKv(store);
    const [a, b] = [await numbers(kv, 1), await numbers(kv, 2)];
    assert.deepEqual(a, b, 'a batch is torn');
    assert.deepEqual(
      a,
      Array.from(a, (_, i) => i + 1),
      'a batch is missing before a later one',
    );
    acknowledged = (await lines(log)).filter((line) => line !== 'open').map(Number);
    const present = new Set(a);
    assert.deepEqual(
      acknowledged.filter((n) => !present.has(n)),
      [],
      'acknowledged batches are gone',
    );
    const head = await kv.get(bucketKey(0x10, 0));
    assert.equal(head ? Number(readU64be(head)) : 0, a.at(-1) ?? 0, 'the head is not that of the last batch');
    await kv.close();
  }
  assert.ok(acknowledged.length > KILLS, `only ${acknowledged.length} batches were acknowledged`);
  t.diagnostic(`${KILLS} kills, ${acknowledged.length} acknowledged batches`);
});
