import assert from 'node:assert/strict';
import fs, { cp, readdir, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { syncBuiltinESMExports } from 'node:module';
import { basename, join } from 'node:path';
import { after, it } from 'node:test';
import { bucketKey, bucketRange } from '#coordinator/store/keys.ts';
import { put } from '#coordinator/store/kv.ts';
import { openRocksKv } from '#coordinator/store/rocks-kv.ts';
import { readU64be, u64be } from '#shared/crypto/bytes.ts';
import { seededUniform } from '#shared/weights/random.ts';
import { tempDir } from '#test/helpers/temp-dir.ts';

/** Files that we sync ourselves, by name, with what was in them when the newest sync of them began. */
const onDisk = new Map<string, Buffer>();
const { open } = fs;
fs.open = async (path, ...rest) => {
  const file = await open(path, ...rest);
  const name = basename(String(path));
  if (!/\.log$|^mark/.test(name)) return file;
  for (const method of ['sync', 'datasync'] as const) {
    const original = file[method];
    file[method] = async () => {
      // The mark is renamed while it is open.
      const content = await readFile(path).catch(() => readFile(String(path).replace('.new', '')));
      await original.call(file);
      onDisk.set(name.replace('.new', ''), content);
    };
  }
  return file;
};
syncBuiltinESMExports();
after(() => {
  fs.open = open;
  syncBuiltinESMExports();
});

const POWER_CUTS = 25;
const VALUE_BYTES = 200_000;

/** Copies a store as it was at one moment: RocksDB writes and removes files in the background, so a copy during that is made again. */
async function copyOfOneMoment(store: string, copy: string): Promise<void> {
  const listing = async () => {
    const names = (await readdir(store, { recursive: true })).sort();
    return Promise.all(names.map(async (name) => `${name} ${(await stat(join(store, name))).size}`));
  };
  for (let tries = 0; tries < 100; tries++) {
    await rm(copy, { recursive: true, force: true });
    try {
      const before = await listing();
      await cp(store, copy, { recursive: true, filter: (path) => !/LOCK$|lock$/.test(path) });
      assert.deepEqual(await listing(), before);
      return;
    } catch (error) {
      const changed =
        error instanceof assert.AssertionError || (error as NodeJS.ErrnoException).code === 'ENOENT';
      if (!changed) throw error;
    }
  }
  assert.fail('the store never stood still for as long as a copy takes');
}

/** The folder as it is after the power failed: of the log and of the mark only what was synced. */
async function afterPowerCut(store: string, copy: string): Promise<void> {
  await copyOfOneMoment(store, copy);
  for (const name of await readdir(join(copy, 'db')))
    if (name.endsWith('.log')) await truncate(join(copy, 'db', name), onDisk.get(name)?.length ?? 0);
  const mark = onDisk.get('mark');
  assert.ok(mark, 'the mark was never synced');
  await writeFile(join(copy, 'mark'), mark);
}

it('what was acknowledged is there when only synced bytes survive, and nothing without what came before it', async (t) => {
  const dir = await tempDir();
  const store = join(dir, 'store');
  const kv = await openRocksKv(store);
  const uniform = seededUniform(4);
  let batches = 0;
  let acknowledged = 0;
  let lost = 0;
  for (let cut = 0; cut < POWER_CUTS; cut++) {
    for (let left = 1 + Math.floor(uniform() * 8); left > 0; left--) {
      batches += 1;
      const durable = uniform() < 0.5;
      const value = new Uint8Array(VALUE_BYTES).fill(batches);
      value.set(u64be(batches));
      await kv.batch([put(bucketKey(0x10, batches), value)], { durable });
      if (durable) acknowledged = batches;
    }
    const copy = join(dir, `cut-${cut}`);
    await afterPowerCut(store, copy);
    const survived = await openRocksKv(copy);
    const found: number[] = [];
    for await (const [, value] of survived.entries(bucketRange(0x10))) found.push(Number(readU64be(value)));
    await survived.close();
    assert.deepEqual(
      found,
      Array.from(found, (_, i) => i + 1),
      'a batch is missing before a later one',
    );
    assert.ok(found.length >= acknowledged, `${acknowledged} acknowledged, ${found.length} there`);
    lost += batches - found.length;
  }
  await kv.close();
  assert.ok(lost > 0, 'nothing was ever lost: the power was not cut');
  t.diagnostic(`${POWER_CUTS} cuts, ${batches} batches, ${lost} times one that nobody was promised was lost`);
});
