import assert from 'node:assert/strict';
import { afterEach, before, describe, it } from 'node:test';
import type { Tensor, Tensor2D } from '@tensorflow/tfjs';
import * as tf from '@tensorflow/tfjs';
import { assertClose, randomValues } from '#test/helpers/tensors.ts';
import { add, gelu } from '#worker/model/blocks.ts';
import { genericKernels } from '#worker/model/kernels/generic.ts';
import { useKernels } from '#worker/model/kernels/kernels.ts';

const input = () => tf.tensor2d(randomValues(12, 1), [3, 4]);

describe('building blocks', () => {
  before(() => tf.setBackend('cpu'));
  afterEach(() => useKernels('cpu', genericKernels));

  it('free what flows backwards once it is used', () => {
    const buffers: number[] = [];
    useKernels('cpu', {
      ...genericKernels,
      geluGrad(dy, x) {
        buffers.push(tf.memory().numDataBuffers);
        return genericKernels.geluGrad(dy, x);
      },
    });
    const deep = (x: Tensor) => {
      let y = x as Tensor2D;
      for (let layer = 0; layer < 10; layer++) y = add(y, gelu(y));
      return tf.sum<tf.Scalar>(y);
    };
    tf.tidy(() => tf.grad(deep)(input()));
    assert.equal(buffers.length, 10);
    // TensorFlow.js itself keeps one a layer: the second of two gradients of x that it adds up.
    assert.deepEqual(
      buffers.map((count) => count - buffers[0]!),
      buffers.map((_, layer) => layer),
    );
  });

  it('give each way through a residual its gradient', () => {
    const values = tf.tidy(() => {
      const x = input();
      const residual = tf.grad((x: Tensor) => tf.sum<tf.Scalar>(add(x as Tensor2D, gelu(x as Tensor2D))))(x);
      const expected = tf.add(1, genericKernels.geluGrad(tf.onesLike(x), x));
      const twice = tf.grad((x: Tensor) => tf.sum<tf.Scalar>(add(x as Tensor2D, x as Tensor2D)))(x);
      return [residual, expected, twice].map((y) => y.dataSync());
    });
    const [residual, expected, twice] = values as unknown as [Float32Array, Float32Array, Float32Array];
    assertClose(residual, expected, { what: 'x + gelu(x)', tolerance: 1e-6 });
    assert.deepEqual([...twice], new Array(12).fill(2));
  });
});
