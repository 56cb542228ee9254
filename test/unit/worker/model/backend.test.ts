import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import * as tf from '@tensorflow/tfjs';
import { startBackend } from '#worker/model/backend.ts';

const native = await import('@tensorflow/tfjs-node-gpu' as string).then(
  () => true,
  () => false,
);

describe('startBackend', () => {
  it('starts wasm when it is asked to', async () => {
    assert.deepEqual(await startBackend('wasm'), { name: 'wasm', notes: [] });
    assert.equal(tf.getBackend(), 'wasm');
  });

  it('auto: goes on without the native package, and says so', {
    skip: native && 'it is installed',
  }, async () => {
    const { name, notes } = await startBackend('auto');
    assert.equal(name, 'wasm');
    assert.match(notes[0]!, /tfjs-node-gpu\) is not installed|does not load/);
  });

  it('BACKEND: a forced backend that cannot be had', { skip: native && 'it is installed' }, async () => {
    await assert.rejects(startBackend('tensorflow'), { code: 'BACKEND' });
  });
});
