import assert from 'node:assert/strict';
import { it } from 'node:test';
import { BUCKET, bucketKey, bucketRange } from '#coordinator/store/keys.ts';
import { compareBytes } from '#shared/crypto/bytes.ts';

it('writes numbers so that they sort by value', () => {
  const keys = [0, 1, 255, 256, 2 ** 40, 2n ** 63n].map((n) => bucketKey(BUCKET.payloadChunk, n));
  assert.deepEqual([...keys].reverse().sort(compareBytes), keys);
  assert.deepEqual(bucketKey(0x10, Uint8Array.of(7), 258), Uint8Array.of(0x10, 7, 0, 0, 0, 0, 0, 0, 1, 2));
});

it('ends a range after the last key with its prefix, also where the prefix ends in 0xff', () => {
  assert.deepEqual(bucketRange(0x10), { gte: Uint8Array.of(0x10), lt: Uint8Array.of(0x11) });
  assert.deepEqual(bucketRange(0x10, Uint8Array.of(3, 0xff, 0xff)), {
    gte: Uint8Array.of(0x10, 3, 0xff, 0xff),
    lt: Uint8Array.of(0x10, 4),
  });
});

it('gives every bucket an id of its own below 0xff', () => {
  const ids: number[] = Object.values(BUCKET);
  assert.equal(new Set(ids).size, ids.length);
  assert.ok(ids.every((id) => Number.isInteger(id) && id >= 0 && id < 0xff));
});
