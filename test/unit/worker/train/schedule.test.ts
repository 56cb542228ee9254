import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { learningRateAt } from '#worker/train/schedule.ts';

describe('learningRateAt', () => {
  it('warms up, falls by half a cosine, and stays at its final fraction', () => {
    const schedule = { learningRate: 1, finalFraction: 0.1, warmupSteps: 4, totalSteps: 104 };
    const rates = [0, 1, 3, 4, 54, 104, 9999].map((step) => learningRateAt(step, schedule));
    const expected = [0.25, 0.5, 1, 1, 0.55, 0.1, 0.1];
    for (const [i, rate] of rates.entries()) assert.ok(Math.abs(rate - expected[i]!) < 1e-12, `${rates}`);
  });

  it('takes no warm-up', () => {
    const schedule = { learningRate: 2, finalFraction: 0, warmupSteps: 0, totalSteps: 10 };
    assert.deepEqual([learningRateAt(0, schedule), learningRateAt(10, schedule)], [2, 0]);
  });
});
