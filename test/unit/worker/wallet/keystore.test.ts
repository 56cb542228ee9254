import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { encryptKeystoreJson, Wallet } from 'ethers';
import { fromHex } from '#shared/crypto/bytes.ts';
import { keyPair } from '#shared/crypto/keys.ts';
import { PoolError } from '#shared/errors/pool-error.ts';
import { decryptKeystore, encryptKeystore, isKeystore } from '#worker/wallet/keystore.ts';

const KEY = keyPair(fromHex('4c0883a69102937d6231471b5dbb6204fe5129617082792ae468d01a3f362318', 32));
const CHEAP = { n: 1024, r: 8, p: 1 } as const;
const refused = (code: string, work: Promise<unknown>) =>
  assert.rejects(work, (error) => error instanceof PoolError && error.code === code, code);

describe('a keystore', () => {
  it('gives the key back to its password, here and in ethers', async () => {
    const text = await encryptKeystore(KEY, 'pässword', CHEAP as never);
    assert.ok(isKeystore(text));
    assert.doesNotMatch(text, /4c0883a6/);
    assert.deepEqual(await decryptKeystore(text, 'pässword'), KEY);
    const theirs = await Wallet.fromEncryptedJson(text, 'pässword');
    assert.equal(theirs.address, KEY.address);
  });

  it('of ethers is read', async () => {
    const text = await encryptKeystoreJson(
      { address: KEY.address, privateKey: `0x${'11'.repeat(32)}` },
      'secret',
      { scrypt: { N: 1024, r: 8, p: 1 } },
    );
    const { address } = keyPair(new Uint8Array(32).fill(0x11));
    assert.equal((await decryptKeystore(text, 'secret')).address, address);
  });

  it('PASSWORD', async () => {
    await refused('PASSWORD', decryptKeystore(await encryptKeystore(KEY, 'a', CHEAP as never), 'b'));
  });

  it('KEYSTORE', async () => {
    const good = JSON.parse(await encryptKeystore(KEY, 'a', CHEAP as never));
    const bad = [
      'no json',
      '{}',
      'null',
      JSON.stringify({ ...good, version: 4 }),
      JSON.stringify({ ...good, crypto: { ...good.crypto, kdf: 'pbkdf2' } }),
      JSON.stringify({ ...good, crypto: { ...good.crypto, ciphertext: '00' } }),
      ...[3, 2 ** 30, 1e9, -1].map((n) =>
        JSON.stringify({ ...good, crypto: { ...good.crypto, kdfparams: { ...good.crypto.kdfparams, n } } }),
      ),
    ];
    for (const text of bad) await refused('KEYSTORE', decryptKeystore(text, 'a'));
  });
});
