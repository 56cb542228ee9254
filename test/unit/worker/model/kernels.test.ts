import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import * as tf from '@tensorflow/tfjs';
import { describeKernels } from '#test/conformance/kernels.ts';
import { randomValues } from '#test/helpers/tensors.ts';
import { startBackend } from '#worker/model/backend/start.ts';
import { genericKernels } from '#worker/model/kernels/generic.ts';
import { activeKernels } from '#worker/model/kernels/kernels.ts';

describeKernels('wasm', () => startBackend('wasm'));

describe('wasm kernels', () => {
  before(() => startBackend('wasm'));

  it('are ours', () => assert.notEqual(activeKernels(), genericKernels));

  it('a row is summed in the same order whatever rows stand beside it', () => {
    const x = tf.tensor2d(randomValues(70 * 33, 29), [70, 33]);
    const w = tf.tensor2d(randomValues(33 * 21, 30), [33, 21]);
    const b = tf.tensor1d(randomValues(21, 31));
    const whole = activeKernels().linear(x, w, b, 'in-out').dataSync();
    const part = activeKernels()
      .linear(tf.slice(x, [5, 0], [2, -1]), w, b, 'in-out')
      .dataSync();
    assert.deepEqual(part, whole.slice(5 * 21, 7 * 21));
  });

  it('a token is computed the same alone and beside others', () => {
    for (const [layout, shape] of [
      ['in-out', [77, 53]],
      ['out-in', [53, 77]],
    ] as const) {
      const x = tf.tensor2d(randomValues(16 * 77, 32), [16, 77]);
      const w = tf.tensor2d(randomValues(77 * 53, 33), [...shape]);
      const together = activeKernels().linear(x, w, null, layout).dataSync();
      for (let row = 0; row < 16; row++) {
        const alone = activeKernels().linear(tf.slice(x, [row, 0], [1, -1]), w, null, layout);
        assert.deepEqual(alone.dataSync(), together.slice(row * 53, (row + 1) * 53));
      }
    }
  });
});
