import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { keyPair } from '#shared/crypto/keys.ts';
import { makeReceipts, type Receipt } from '#shared/protocol/receipt.ts';
import { CHAIN, changed, NETWORK } from '#test/helpers/forge.ts';
import { StoredPoolServer, vectorPool } from '#test/helpers/stored-pool.ts';
import { findingOf } from '#worker/audit/finding.ts';
import { checkReceipts } from '#worker/audit/receipts.ts';
import { HttpSource } from '#worker/audit/source.ts';
import { ApiClient } from '#worker/client/api-client.ts';

const server = await StoredPoolServer.start();
const source = new HttpSource(new ApiClient(server.url), new AbortController().signal);
const units = [...CHAIN.work.grinding, ...CHAIN.work.evaluation];
const receipts = makeReceipts(NETWORK, units, keyPair(CHAIN.secrets.pool));

const foundAt = (at: string, code: string) => (error: unknown) => {
  const finding = findingOf(error);
  assert.deepEqual([finding?.at, finding?.code], [at, code]);
  return true;
};

describe('checkReceipts', () => {
  it('takes what the pool signed and has in its logs', async () => {
    assert.equal((await checkReceipts(source, receipts)).length, units.length);
    assert.deepEqual(await checkReceipts(source, []), []);
  });

  it('SIGNATURE: a receipt that somebody else signed', async () => {
    const other = makeReceipts(NETWORK, units, keyPair(CHAIN.secrets.miner));
    const mixed = checkReceipts(source, [receipts[0] as Receipt, other[1] as Receipt]);
    await assert.rejects(mixed, foundAt('receipt 2', 'SIGNATURE'));
  });

  it('JOURNAL: a unit that the pool has no more, or another in its place', async () => {
    const kept = vectorPool();
    for (const grinding of [[], kept.work.grinding.map((unit) => changed(unit, unit.length - 1))]) {
      server.pool = { ...kept, work: { ...kept.work, grinding } };
      await assert.rejects(checkReceipts(source, receipts), foundAt('receipt 1', 'JOURNAL'));
    }
    server.pool = vectorPool();
  });
});
