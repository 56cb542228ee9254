import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ShareLog } from '#coordinator/ledger/share-log.ts';
import { WorkUnits } from '#coordinator/ledger/work-units.ts';
import type { KV } from '#coordinator/store/kv.ts';
import { MemoryKv } from '#coordinator/store/memory-kv.ts';
import type { Work } from '#shared/block/work-log.ts';
import { keyPair } from '#shared/crypto/keys.ts';
import { PoolError } from '#shared/errors/pool-error.ts';
import { makeReceipts, openReceipt } from '#shared/protocol/receipt.ts';
import { CHAIN, MINER, NETWORK } from '#test/helpers/forge.ts';

const pool = keyPair(CHAIN.secrets.pool);
const work = (n: number): Work => ({
  worker: MINER.publicKey,
  address: MINER.address,
  credit: BigInt(n + 1),
  ref: new Uint8Array(32).fill(n),
});

async function open(kv: KV = new MemoryKv()) {
  const units = await WorkUnits.open(kv, NETWORK);
  const parts = { kv, units, now: () => 5 };
  return { kv, units, log: new ShareLog({ ...parts, receipts: (u) => makeReceipts(NETWORK, u, pool) }) };
}

describe('ShareLog', () => {
  it('writes what comes together in one batch, in order, and gives receipts that hold', async () => {
    const kv = new MemoryKv();
    let batches = 0;
    const batch = kv.batch.bind(kv);
    Object.assign(kv, {
      batch: (...[ops, options]: Parameters<KV['batch']>) => {
        batches += 1;
        assert.ok(options.durable);
        return batch(ops);
      },
    });
    const { log, units } = await open(kv);
    const credited = await Promise.all(Array.from({ length: 200 }, (_, n) => log.add(work(n))));
    assert.ok(batches <= 2, `${batches} writes`);
    credited.forEach(({ unit, receipt }, n) => {
      assert.deepEqual([unit.seq, unit.ref, unit.at], [n, work(n).ref, 5]);
      if (n % 50 === 0) assert.deepEqual(openReceipt(NETWORK, receipt, pool.publicKey), unit);
    });
    assert.equal(units.places.grinding.seq, 200);
  });

  it('SHARE_DUPLICATE: a hash again, at once, later, and after a restart', async () => {
    const { kv, log, units } = await open();
    const together = await Promise.allSettled([log.add(work(1)), log.add(work(1)), log.add(work(2))]);
    assert.deepEqual(
      together.map(({ status }) => status),
      ['fulfilled', 'rejected', 'fulfilled'],
    );
    await assert.rejects(log.add(work(2)), { code: 'SHARE_DUPLICATE' });
    const again = await open(kv);
    await assert.rejects(again.log.add(work(1)), { code: 'SHARE_DUPLICATE' });
    assert.equal((await again.log.add(work(3))).unit.seq, 2);
    assert.equal(units.places.grinding.seq, 2);
  });

  it('acknowledges nothing that could not be written', async () => {
    const kv = new MemoryKv();
    const { log, units } = await open(kv);
    kv.batch = () => Promise.reject(new PoolError('STORE_IO', 'full'));
    await assert.rejects(log.add(work(1)), { code: 'STORE_IO' });
    assert.equal(units.places.grinding.seq, 0);
  });

  it('closes when all is written', async () => {
    const { log, units } = await open();
    const added = log.add(work(1));
    await log.close();
    assert.equal(units.places.grinding.seq, 1);
    await added;
  });
});
