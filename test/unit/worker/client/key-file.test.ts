import assert from 'node:assert/strict';
import { readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { it } from 'node:test';
import { toHex } from '#shared/crypto/bytes.ts';
import { tempDir } from '#test/helpers/temp-dir.ts';
import { loadKey, loadOrCreateKey } from '#worker/client/key-file.ts';

const dir = await tempDir();

it('makes a key that only the owner reads, and finds it again', async () => {
  const path = join(dir, 'worker', 'key');
  const keys = await Promise.all([loadOrCreateKey(path), loadOrCreateKey(path)]);
  const again = await loadOrCreateKey(path);
  for (const key of keys) assert.deepEqual(key, again);
  assert.equal((await stat(path)).mode & 0o777, 0o600);
  assert.equal((await readFile(path, 'utf8')).trim(), toHex(again.secretKey));
  assert.deepEqual(await loadKey(path), again);
});

it('OPTION: a key that must be there and is not, which is not made', async () => {
  const path = join(dir, 'keys', 'missing');
  await assert.rejects(loadKey(path), { code: 'OPTION', message: /missing: .*no such file/ });
  await assert.rejects(stat(join(dir, 'keys')), { code: 'ENOENT' });
});

it('OPTION, without quoting the file', async () => {
  const path = join(dir, 'bad');
  await writeFile(path, 'f'.repeat(64));
  await assert.rejects(loadOrCreateKey(path), (error: Error & { code: string }) => {
    return error.code === 'OPTION' && !error.message.includes('ffff');
  });
});

it('STORE_IO', async () => {
  const path = join(dir, 'file');
  await writeFile(path, '');
  await assert.rejects(loadOrCreateKey(join(path, 'key')), { code: 'STORE_IO' });
});
