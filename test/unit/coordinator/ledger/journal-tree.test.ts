import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openJournalTree } from '#coordinator/ledger/journal-tree.ts';
import { Ledger } from '#coordinator/ledger/ledger.ts';
import { BUCKET, bucketKey, bucketRange } from '#coordinator/store/keys.ts';
import { del, delRange, type KV } from '#coordinator/store/kv.ts';
import { MemoryKv } from '#coordinator/store/memory-kv.ts';
import type { Move } from '#shared/block/journal.ts';
import { merkleRoot, verifyMerklePath } from '#shared/crypto/merkle.ts';
import { rootOfPeaks } from '#shared/crypto/merkle-tree.ts';
import { MINER, NETWORK } from '#test/helpers/forge.ts';

const reward: Move = {
  kind: 'reward-pool',
  ref: new Uint8Array(32).fill(1),
  from: null,
  to: MINER.address,
  amount: 5n,
};

/** A ledger with batches of these many entries, and the root after each of them. */
async function ledgerOf(batches: readonly number[]) {
  const kv: KV = new MemoryKv();
  const ledger = await Ledger.open(kv, NETWORK);
  const roots = new Map<number, Uint8Array>();
  for (const count of batches) {
    const prepared = await ledger.prepare(Array<Move>(count).fill(reward), 7);
    await kv.batch(prepared.ops, { durable: true });
    ledger.apply(prepared);
    roots.set(ledger.journal.seq, ledger.journal.root);
  }
  return { kv, ledger, roots, entries: await ledger.entries(0, 1_000) };
}

test('the root of the journal is that over its entries, and every entry has a path in every size it had', async () => {
  const { ledger, roots, entries } = await ledgerOf([1, 2, 1, 5, 8, 1, 17]);
  for (const [size, root] of roots) {
    assert.deepEqual(root, merkleRoot(entries.slice(0, size)));
    for (let index = 0; index < size; index++) {
      const path = await ledger.path(index, size);
      assert.ok(verifyMerklePath(root, { leaf: entries[index]!, index, size, path }), `${index} of ${size}`);
    }
  }
});

test('the tree is there again after a restart, and is made from the entries where it was not kept', async () => {
  const { kv, ledger } = await ledgerOf([9, 13]);
  const { root } = ledger.journal;
  assert.deepEqual((await Ledger.open(kv, NETWORK)).journal.root, root);
  const path = await ledger.path(3, 22);
  await kv.batch([delRange(bucketRange(BUCKET.journalNode))], { durable: false });
  const again = await Ledger.open(kv, NETWORK);
  assert.deepEqual(again.journal.root, root);
  assert.deepEqual(await again.path(3, 22), path);
});

test('STORE_CORRUPT: an entry that the tree needs is missing', async () => {
  for (const missing of [0, 2, 5]) {
    const { kv } = await ledgerOf([6]);
    await kv.batch(
      [del(bucketKey(BUCKET.journalEntry, missing)), delRange(bucketRange(BUCKET.journalNode))],
      {
        durable: false,
      },
    );
    await assert.rejects(openJournalTree(kv, 6), { code: 'STORE_CORRUPT' });
  }
  assert.deepEqual(rootOfPeaks((await openJournalTree(new MemoryKv(), 0)).peaks), new Uint8Array(32));
});
