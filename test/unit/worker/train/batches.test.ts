import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type Batch, batches } from '#worker/train/batches.ts';

const text = Uint16Array.from({ length: 103 }, (_, i) => i);

function take(count: number, options: { context: number; batchSize: number; seed: number }): Batch[] {
  const source = batches(text, options);
  return Array.from({ length: count }, () => source.next().value);
}

describe('batches', () => {
  it('pairs each token with the one after it', () => {
    for (const { ids, labels, time } of take(9, { context: 10, batchSize: 3, seed: 1 })) {
      assert.equal(time, 10);
      assert.equal(ids.length, 30);
      assert.deepEqual(
        [...labels],
        [...ids].map((id) => id + 1),
      );
      for (let row = 0; row < 3; row++) {
        assert.deepEqual(
          [...ids.slice(row * 10, row * 10 + 10)],
          Array.from({ length: 10 }, (_, i) => ids[row * 10]! + i),
        );
      }
    }
  });

  it('depends on the seed alone', () => {
    const options = { context: 10, batchSize: 4, seed: 5 };
    assert.deepEqual(take(12, options), take(12, options));
    assert.notDeepEqual(take(12, { ...options, seed: 6 }), take(12, options));
  });

  it('visits each window of an epoch once', () => {
    const starts = take(10, { context: 10, batchSize: 1, seed: 2 }).map(({ ids }) => ids[0]!);
    const offset = Math.min(...starts);
    const epoch = starts.slice(0, Math.floor((102 - offset) / 10)).sort((a, b) => a - b);
    assert.deepEqual(
      epoch,
      epoch.map((_, i) => offset + 10 * i),
    );
  });

  it('takes a text of one window, and BAD_REQUEST refuses a shorter one', () => {
    const [batch] = take(1, { context: 102, batchSize: 2, seed: 1 });
    assert.deepEqual([batch!.ids[0], batch!.ids[102], batch!.labels[101]], [0, 0, 102]);
    assert.throws(() => take(1, { context: 103, batchSize: 1, seed: 1 }), { code: 'BAD_REQUEST' });
  });
});
