import assert from 'node:assert/strict';
import { readdir } from 'node:fs/promises';
import { describe, it } from 'node:test';
import { UNSAFE_DEV_GOVERNOR } from '#coordinator/chain/genesis/dev-keys.ts';
import { initChain } from '#coordinator/chain/init.ts';
import { MemoryKv } from '#coordinator/store/memory-kv.ts';
import { PayloadStore } from '#coordinator/store/payload-store.ts';
import { tempDir } from '#test/helpers/temp-dir.ts';

function emptyStores() {
  const kv = new MemoryKv();
  return { kv, payloads: new PayloadStore(kv) };
}

describe('init of a pool of one’s own', () => {
  it('UNSAFE_KEYS: a development key, of which nothing is kept; the next try makes keys of its own', async () => {
    const dataDir = await tempDir();
    const options = { dataDir, name: 'own', dev: false, nowMs: 1_800_000_000_000 };
    const withDevKey = { ...options, governorSecret: UNSAFE_DEV_GOVERNOR.secretKey };
    await assert.rejects(initChain(emptyStores(), withDevKey), { code: 'UNSAFE_KEYS' });
    assert.deepEqual(await readdir(dataDir), []);
    const made = await initChain(emptyStores(), options);
    assert.notEqual(made.governor, UNSAFE_DEV_GOVERNOR.address);
    assert.equal(made.blocks, 52);
  });

  it('the development network has the same id each time', async () => {
    const ids = [];
    for (const dataDir of [await tempDir(), await tempDir()]) {
      const options = { dataDir, name: 'AI-Block development network', dev: true, nowMs: Date.now() };
      ids.push((await initChain(emptyStores(), options)).networkId);
    }
    assert.deepEqual(ids[0], ids[1]);
  });

  it('OPTION: a store that holds a chain already', async () => {
    const dataDir = await tempDir();
    const stores = emptyStores();
    const options = { dataDir, name: 'own', dev: true, nowMs: 0 };
    await initChain(stores, options);
    await assert.rejects(initChain(stores, options), { code: 'OPTION' });
  });
});
