import assert from 'node:assert/strict';
import { it } from 'node:test';
import { backoffMs } from '#worker/client/backoff.ts';

const backoff = { firstMs: 100, mostMs: 1_000 };

it('doubles up to the most', () => {
  const waits = [0, 1, 2, 3, 4, 100].map((attempt) => backoffMs(attempt, backoff, () => 1));
  assert.deepEqual(waits, [100, 200, 400, 800, 1_000, 1_000]);
});

it('takes a random half to whole of it', () => {
  assert.equal(
    backoffMs(1, backoff, () => 0),
    100,
  );
  assert.equal(
    backoffMs(1, backoff, () => 0.5),
    150,
  );
});
