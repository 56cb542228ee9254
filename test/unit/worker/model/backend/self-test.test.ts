import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import * as tf from '@tensorflow/tfjs';
import type { Device } from '#worker/model/backend/device.ts';
import { selfTest } from '#worker/model/backend/self-test.ts';
import { startBackend } from '#worker/model/backend/start.ts';
import { activeKernels, type Kernels, useKernels } from '#worker/model/kernels/kernels.ts';

describe('the self-test of a backend', () => {
  let device: Device;
  before(async () => {
    device = await startBackend('wasm');
  });

  it('passes on one that computes rightly, and measures it', async () => {
    const tensors = tf.memory().numTensors;
    const report = await selfTest('wasm', device);
    assert.equal(report.device, device.name);
    assert.ok(report.gflops > 0);
    assert.equal(tf.memory().numTensors, tensors);
  });

  const right = (): Kernels => activeKernels();
  const wrong: Record<string, () => Partial<Kernels>> = {
    'another loss': () => ({ gelu: (x) => tf.relu(x) }),
    'a loss that is no number': () => ({ gelu: (x) => tf.mul(x, Number.NaN) }),
    'another gradient': () => ({ geluGrad: (dy) => dy.clone() }),
    'other tokens': () => ({ logits: (h, head) => tf.neg(tf.matMul(h, head, false, true)) }),
  };
  for (const [what, kernels] of Object.entries(wrong)) {
    it(`BACKEND: refuses a backend with ${what}`, async (t) => {
      const kept = right();
      useKernels('wasm', { ...kept, ...kernels() });
      t.after(() => useKernels('wasm', kept));
      await assert.rejects(selfTest('wasm', device), {
        code: 'BACKEND',
        message: /^backend wasm: self-test of gpt2: expected (loss|a gradient|tokens)/,
      });
    });
  }
});
