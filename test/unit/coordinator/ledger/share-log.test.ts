import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ShareLog } from '#coordinator/ledger/share-log.ts';
import { WorkUnits } from '#coordinator/ledger/work-units.ts';
import { BUCKET } from '#coordinator/store/keys.ts';
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

  it('writes one alone at once, and those that come shortly after a write together', async () => {
    const kv = new MemoryKv();
    const sizes: number[] = [];
    const batch = kv.batch.bind(kv);
    Object.assign(kv, {
      batch: (...[ops, options]: Parameters<KV['batch']>) => {
        sizes.push(ops.filter((op) => op.type === 'put' && op.key[0] === BUCKET.workUnit).length);
        assert.ok(options.durable);
        return batch(ops);
      },
    });
    const { log } = await open(kv);
    await log.add(work(0));
    const later: Promise<unknown>[] = [];
    // Over many turns of the event loop, each of which would be a write of its own.
    for (let n = 1; n <= 20; n++) {
      later.push(log.add(work(n)));
      await new Promise(setImmediate);
    }
    await Promise.all(later);
    assert.equal(sizes[0], 1);
    assert.ok(sizes.length <= 4, `writes of ${sizes} units`);
  });

  it('closes when all is written', async () => {
    const { log, units } = await open();
    const added = [log.add(work(1))];
    await added[0];
    // During the pause after a write.
    added.push(log.add(work(2)));
    await log.close();
    assert.equal(units.places.grinding.seq, 2);
    await Promise.all(added);
  });
});
