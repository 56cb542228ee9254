import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DEV_GATE, trainedGate } from '#coordinator/chain/genesis/gates.ts';

test('the development network looks from 16 windows on, and delta ends where 128 windows still tell it from twice as much', () => {
  assert.deepEqual(DEV_GATE.early?.looks, [16, 24, 32, 48, 64, 96]);
  assert.equal(DEV_GATE.windows, 128);
  assert.equal(DEV_GATE.decay?.floor_micro_nats, 24_000);
});

test('the gate of a trained model draws as many windows as the set has, in powers of two, for a smaller delta', () => {
  const shown = [128, 255, 256, 600, 5_000].map((windows) => {
    const { windows: drawn, delta_micro_nats: delta, early } = trainedGate(windows);
    return [drawn, delta, early?.looks.at(-1)];
  });
  assert.deepEqual(shown, [
    [128, 24_000, 96],
    [128, 24_000, 96],
    [256, 16_971, 192],
    [512, 12_000, 384],
    [1_024, 8_486, 768],
  ]);
});
