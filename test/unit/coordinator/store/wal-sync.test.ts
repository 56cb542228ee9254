import assert from 'node:assert/strict';
import fs, { rm, writeFile } from 'node:fs/promises';
import { syncBuiltinESMExports } from 'node:module';
import { basename, join } from 'node:path';
import { after, it } from 'node:test';
import { WalSync } from '#coordinator/store/wal-sync.ts';
import { tempDir } from '#test/helpers/temp-dir.ts';

/** Names of the files that were synced, in order. */
const synced: string[] = [];
const { open } = fs;
fs.open = async (path, ...rest) => {
  const file = await open(path, ...rest);
  for (const method of ['sync', 'datasync'] as const) {
    const original = file[method];
    file[method] = () => {
      synced.push(basename(String(path)));
      return original.call(file);
    };
  }
  return file;
};
syncBuiltinESMExports();
after(() => {
  fs.open = open;
  syncBuiltinESMExports();
});

it('syncs the log, and after a rotation every log since the last sync and the folder', async () => {
  const dir = await tempDir();
  const log = (number: number) => `${`${number}`.padStart(6, '0')}.log`;
  for (const number of [4, 7, 9, 12]) await writeFile(join(dir, log(number)), 'x');
  await writeFile(join(dir, '000010.sst'), 'x');
  let number = 4;
  const wal = new WalSync(dir, { currentWalFile: async () => ({ number, path: `/${log(number)}` }) });
  const after = async (next: number) => {
    number = next;
    synced.length = 0;
    await wal.sync();
    return [...synced];
  };
  assert.deepEqual(await after(4), [basename(dir), log(4)]);
  assert.deepEqual(await after(4), [log(4)]);
  // 7 had become a table and was deleted; 4 may have grown after its last sync.
  await rm(join(dir, log(7)));
  assert.deepEqual((await after(12)).sort(), [log(4), log(9), log(12), basename(dir)].sort());
  assert.deepEqual(await after(12), [log(12)]);
  await wal.close();
  await wal.close();
});
