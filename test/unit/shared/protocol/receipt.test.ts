import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decodeUnit } from '#shared/block/work-log.ts';
import { keyPair } from '#shared/crypto/keys.ts';
import { makeReceipts, openReceipt, type Receipt, receiptSchema } from '#shared/protocol/receipt.ts';
import { CHAIN, NETWORK } from '#test/helpers/forge.ts';
import { readVectors } from '#test/helpers/vectors.ts';

const pool = keyPair(CHAIN.secrets.pool);
const units = [...CHAIN.work.grinding, ...CHAIN.work.evaluation];
const { receipts } = readVectors<{ receipts: { units: Uint8Array[]; receipts: Receipt[] }[] }>('receipt');

test('receipts are those of the vectors, one signature for all that were written together', () => {
  for (const { units: written, receipts: expected } of receipts)
    assert.deepEqual(makeReceipts(NETWORK, written, pool), expected);
});

test('a receipt opens to its unit, however many were written together', () => {
  for (let count = 1; count <= units.length; count++)
    makeReceipts(NETWORK, units.slice(0, count), pool).forEach((receipt, i) => {
      const sent = receiptSchema.parse(JSON.parse(JSON.stringify(receipt)));
      assert.deepEqual(openReceipt(NETWORK, sent, pool.publicKey), decodeUnit(units[i] as Uint8Array));
    });
  assert.deepEqual(makeReceipts(NETWORK, [], pool), []);
});

test('SIGNATURE: another unit, path, network or key', () => {
  const [first, second] = makeReceipts(NETWORK, units, pool) as [Receipt, Receipt];
  const step = first.path[0];
  assert.ok(step);
  const bad: [Receipt, Uint8Array, Uint8Array][] = [
    [{ ...first, unit: second.unit }, NETWORK, pool.publicKey],
    [{ ...first, path: second.path }, NETWORK, pool.publicKey],
    [{ ...first, path: first.path.slice(1) }, NETWORK, pool.publicKey],
    [{ ...first, path: [{ ...step, side: 'left' }, ...first.path.slice(1)] }, NETWORK, pool.publicKey],
    [first, new Uint8Array(32), pool.publicKey],
    [first, NETWORK, keyPair(CHAIN.secrets.miner).publicKey],
  ];
  for (const [receipt, network, key] of bad)
    assert.throws(() => openReceipt(network, receipt, key), { code: 'SIGNATURE' });
});
