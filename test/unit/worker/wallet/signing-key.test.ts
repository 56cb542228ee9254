import assert from 'node:assert/strict';
import { stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { PassThrough, Readable } from 'node:stream';
import { test } from 'node:test';
import { keyPair } from '#shared/crypto/keys.ts';
import { tempDir } from '#test/helpers/temp-dir.ts';
import { encryptKeystore } from '#worker/wallet/keystore.ts';
import { existingKey, signingKey } from '#worker/wallet/signing-key.ts';

const KEY = keyPair(new Uint8Array(32).fill(7));
const PASSWORD = 'correct horse';

function environment(stdin: Readable = new PassThrough()) {
  const said: string[] = [];
  return { stdin, said, err: (text: string) => said.push(text), signal: new AbortController().signal };
}

async function files() {
  const dir = await tempDir();
  const keystore = join(dir, 'wallet.json');
  await writeFile(keystore, await encryptKeystore(KEY, PASSWORD, { n: 2, r: 8, p: 1 }));
  const passwordFile = join(dir, 'password');
  await writeFile(passwordFile, `${PASSWORD}\n`);
  return { dir, keystore, passwordFile };
}

test('the plain key is made where nothing is named, for its owner alone to read', async () => {
  const { dir } = await files();
  const path = join(dir, 'miner', 'key');
  const made = await signingKey({}, path, environment());
  assert.equal((await stat(path)).mode & 0o777, 0o600);
  assert.equal((await signingKey({}, path, environment())).address, made.address);
});

test('a key that must exist is read; OPTION names the file where it is missing, and nothing is made', async () => {
  const { dir, keystore, passwordFile } = await files();
  const usual = join(dir, 'keys', 'pool');
  for (const [flags, path] of [
    [{}, usual],
    [{ keyFile: join(dir, 'nokey') }, join(dir, 'nokey')],
  ] as const) {
    await assert.rejects(
      existingKey(flags, usual, environment()),
      (error: Error & { code: string }) => error.code === 'OPTION' && error.message.startsWith(`${path}: `),
    );
    await assert.rejects(stat(path), { code: 'ENOENT' });
  }
  await assert.rejects(stat(join(dir, 'keys')), { code: 'ENOENT' });
  const keyFile = join(dir, 'key');
  const { address } = await signingKey({ keyFile }, usual, environment());
  assert.equal((await existingKey({ keyFile }, usual, environment())).address, address);
  assert.equal((await existingKey({ keystore, passwordFile }, usual, environment())).address, KEY.address);
});

test('a keystore opens by a password file, or a password from standard input', async () => {
  const { dir, keystore, passwordFile } = await files();
  const usual = join(dir, 'unused');
  assert.equal((await signingKey({ keystore, passwordFile }, usual, environment())).address, KEY.address);
  const asked = environment(Readable.from([`${PASSWORD}\n`]));
  assert.equal((await signingKey({ keystore }, usual, asked)).address, KEY.address);
  assert.ok(!asked.said.join('').includes(PASSWORD));
  await assert.rejects(stat(usual), { code: 'ENOENT' });
});

test('PASSWORD: another one', async () => {
  const { dir, keystore } = await files();
  const wrong = environment(Readable.from(['battery staple\n']));
  await assert.rejects(signingKey({ keystore }, join(dir, 'unused'), wrong), { code: 'PASSWORD' });
});

test('OPTION: two keys at once, a password without a keystore, a keystore that is not there', async () => {
  const { dir, keystore, passwordFile } = await files();
  const usual = join(dir, 'unused');
  const bad = [{ keystore, keyFile: usual }, { passwordFile }, { keystore: join(dir, 'missing') }];
  for (const flags of bad)
    await assert.rejects(signingKey(flags, usual, environment()), { code: 'OPTION' }, JSON.stringify(flags));
});
