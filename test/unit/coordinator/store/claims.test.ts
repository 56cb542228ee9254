import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CLAIM_MS, Claims } from '#coordinator/store/claims.ts';
import { BUCKET, bucketRange } from '#coordinator/store/keys.ts';
import { MemoryKv } from '#coordinator/store/memory-kv.ts';

const claim = (value: number) => new Uint8Array(32).fill(value);

test('a claim keeps its first time, over restarts, for a day', async () => {
  const kv = new MemoryKv();
  let now = 1_000;
  const claims = await Claims.open(kv, () => now);
  assert.deepEqual(await claims.add(claim(1)), { at: 1_000, isNew: true });
  now = 2_000;
  assert.deepEqual(await claims.add(claim(1)), { at: 1_000, isNew: false });
  await claims.add(claim(2));
  now = 1_000 + CLAIM_MS;
  const again = await Claims.open(kv, () => now);
  assert.equal(again.timeOf(claim(1)), undefined);
  assert.equal(again.timeOf(claim(2)), 2_000);
  assert.equal(again.timeOf(claim(3)), undefined);
  const stored = [];
  for await (const entry of kv.entries(bucketRange(BUCKET.claim))) stored.push(entry);
  assert.equal(stored.length, 1, 'old ones are gone from the store');
  assert.deepEqual(await again.add(claim(1)), { at: now, isNew: true });
});
