import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import * as tf from '@tensorflow/tfjs';
import { startBackend } from '#worker/model/backend/start.ts';

describe('memory of wasm', () => {
  before(() => startBackend('wasm'));

  it('BACKEND: is full, and what it holds stays as it was', () => {
    const held = tf.tensor1d([1, 2, 3]);
    const taken: tf.Tensor[] = [];
    const gigabyte = () => {
      const info = (tf.backend() as unknown as Maker).makeOutput([2 ** 28], 'float32');
      taken.push(tf.engine().makeTensorFromTensorInfo(info));
    };
    assert.throws(() => Array.from({ length: 5 }, gigabyte), { code: 'BACKEND' });
    assert.equal(taken.length, 3);
    assert.throws(() => tf.zeros([2 ** 28]), { code: 'BACKEND' });
    tf.dispose(taken);
    assert.deepEqual([...tf.add(held, 1).dataSync()], [2, 3, 4]);
  });

  it('a clone outlives the tensor it was made of', () => {
    const x = tf.tensor1d([1, 2, 3]);
    const copy = tf.clone(x);
    x.dispose();
    const other = tf.tensor1d([7, 8, 9]);
    assert.deepEqual([...copy.dataSync()], [1, 2, 3]);
    tf.dispose([copy, other]);
  });
});

interface Maker {
  makeOutput(shape: number[], dtype: 'float32'): tf.TensorInfo;
}
