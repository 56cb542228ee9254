import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { WorkUnits } from '#coordinator/ledger/work-units.ts';
import type { KV } from '#coordinator/store/kv.ts';
import { MemoryKv } from '#coordinator/store/memory-kv.ts';
import { linkUnits, NO_WORK, type Work, type WorkKind } from '#shared/block/work-log.ts';
import { MINER, NETWORK } from '#test/helpers/forge.ts';

const work = (n: number): Work => ({
  worker: MINER.publicKey,
  address: MINER.address,
  credit: BigInt(n + 1),
  ref: new Uint8Array(32).fill(n),
});

async function append(units: WorkUnits, kv: KV, kind: WorkKind, ...numbers: number[]): Promise<void> {
  const prepared = units.prepare(kind, numbers.map(work), 7);
  await kv.batch(prepared.ops, { durable: true });
  units.apply(prepared);
}

describe('WorkUnits', () => {
  it('links the logs of both kinds, each for itself, over restarts', async () => {
    const kv = new MemoryKv();
    const units = await WorkUnits.open(kv, NETWORK);
    assert.deepEqual(units.places, NO_WORK);
    await append(units, kv, 'grinding', 1, 2);
    await append(units, kv, 'evaluation', 1);
    const again = await WorkUnits.open(kv, NETWORK);
    assert.deepEqual(again.places, units.places);
    await append(again, kv, 'grinding', 3);
    const whole = linkUnits(
      NETWORK,
      { kind: 'grinding', place: NO_WORK.grinding },
      { work: [1, 2, 3].map(work), at: 7 },
    );
    assert.deepEqual(again.places.grinding, whole.place);
    assert.deepEqual(
      await again.encoded('grinding', 1, 10),
      whole.units.slice(1).map(({ bytes }) => bytes),
    );
    assert.equal(again.places.evaluation.seq, 1);
  });

  it('gives the newest units of a log as it stood at a place', async () => {
    const kv = new MemoryKv();
    const units = await WorkUnits.open(kv, NETWORK);
    await append(units, kv, 'grinding', 1, 2, 3, 4);
    await append(units, kv, 'evaluation', 9);
    const credits = async (...args: [number, number?]) =>
      (await units.newest('grinding', ...args)).map(({ credit }) => Number(credit));
    assert.deepEqual(await credits(2), [5, 4]);
    assert.deepEqual(await credits(2, 3), [4, 3]);
    assert.deepEqual(await credits(9, 0), []);
  });

  it('knows every hash that a share was credited for', async () => {
    const kv = new MemoryKv();
    const units = await WorkUnits.open(kv, NETWORK);
    await append(units, kv, 'grinding', 1);
    await append(units, kv, 'evaluation', 2);
    const hashes = [1, 2, 3].map((n) => work(n).ref);
    assert.deepEqual(await units.areCredited(hashes), [true, false, false]);
  });
});
