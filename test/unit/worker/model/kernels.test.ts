import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import type { Tensor, Tensor1D, Tensor2D } from '@tensorflow/tfjs';
import * as tf from '@tensorflow/tfjs';
import { assertClose, onBackend, randomIds, randomValues } from '#test/helpers/tensors.ts';
import { startBackend } from '#worker/model/backend.ts';
import { genericKernels } from '#worker/model/kernels/generic.ts';
import { activeKernels, type Kernels } from '#worker/model/kernels/kernels.ts';

/** Values of every result of `work`, with the kernels and the memory of one backend. */
function valuesOf(work: (kernels: Kernels) => Tensor | Tensor[], kernels: Kernels): Float32Array[] {
  return tf.tidy(() => [work(kernels)].flat().map((x) => x.dataSync() as Float32Array));
}

/** Our kernels on wasm against the generic ones on the plain JavaScript backend. */
async function agree(what: string, work: (kernels: Kernels) => Tensor | Tensor[], tolerance = 1e-5) {
  assert.equal(tf.getBackend(), 'wasm');
  assert.notEqual(activeKernels(), genericKernels);
  const tensorsBefore = tf.memory().numTensors;
  const ours = valuesOf(work, activeKernels());
  assert.equal(tf.memory().numTensors, tensorsBefore, `${what}: tensors left behind`);
  const expected = await onBackend('cpu', () => valuesOf(work, genericKernels));
  assert.equal(ours.length, expected.length);
  for (const [i, values] of expected.entries())
    assertClose(ours[i]!, values, { what: `${what} #${i}`, tolerance });
}

const matrix = (rows: number, columns: number, seed: number, scale = 1) =>
  tf.tensor2d(randomValues(rows * columns, seed, scale), [rows, columns]);
const vector = (size: number, seed: number) => tf.tensor1d(randomValues(size, seed));
const ids = (count: number, seed: number, below: number) =>
  tf.tensor1d(randomIds(count, seed, below), 'int32');

describe('wasm kernels', () => {
  before(() => startBackend('wasm'));

  // One row, edges of tiles, and sizes past one block of rows (64), of depth (256) and of columns (512).
  for (const [n, C, F] of [
    [1, 7, 9],
    [2, 8, 16],
    [5, 6, 10],
    [67, 130, 21],
    [9, 300, 530],
  ] as const) {
    it(`linear and its gradient, ${n}×${C}·${C}×${F}`, async () => {
      await agree('linear', (k) => k.linear(matrix(n, C, 1), matrix(C, F, 2), vector(F, 3)));
      await agree('linearGrad', (k) => k.linearGrad(matrix(n, F, 4), matrix(n, C, 1), matrix(C, F, 2)));
      await agree('logits', (k) => k.logits(matrix(n, C, 1), matrix(F, C, 2)));
    });
  }

  it('gelu and its gradient, out to where it is flat', async () => {
    await agree('gelu', (k) => k.gelu(matrix(3, 101, 5, 12)));
    await agree('geluGrad', (k) => k.geluGrad(matrix(3, 101, 6), matrix(3, 101, 5, 12)));
  });

  it('layer norm and its gradient', async () => {
    for (const [n, C] of [
      [1, 4],
      [7, 19],
      [33, 64],
    ] as const) {
      const input = () => ({ x: matrix(n, C, 7, 3), gain: vector(C, 8) });
      await agree('layerNorm', (k) => k.layerNorm(input().x, input().gain, vector(C, 9), 1e-5));
      await agree('layerNormGrad', (k) => {
        const [, mean, inverseSd] = k.layerNorm(input().x, input().gain, vector(C, 9), 1e-5);
        return k.layerNormGrad(matrix(n, C, 10), { ...input(), mean, inverseSd });
      });
    }
  });

  // 70 and 130 tokens: more than one block of 64 query rows.
  for (const [B, time, heads, C] of [
    [1, 1, 1, 4],
    [3, 5, 2, 6],
    [2, 70, 3, 18],
    [1, 130, 1, 32],
  ] as const) {
    it(`attention and its gradient, ${B} sequences of ${time}, ${heads} heads of ${C / heads}`, async () => {
      const qkv = () => matrix(B * time, 3 * C, 11, 2);
      await agree('attention', (k) => k.attention(qkv(), { time, heads }));
      await agree('attentionGrad', (k) => {
        const [out, logSum] = k.attention(qkv(), { time, heads });
        return k.attentionGrad(matrix(B * time, C, 12), { qkv: qkv(), out, logSum }, { time, heads });
      });
    });
  }

  it('attention over a cache equals attention over the whole sequence', async () => {
    const [time, heads, C] = [9, 2, 12];
    const parts = [4, 1, 3, 1];
    const run = (k: Kernels) => {
      const qkv = matrix(time, 3 * C, 13);
      let cache: Tensor2D = tf.zeros([time, 2 * C]);
      let past = 0;
      const outs = parts.map((t) => {
        const [out, next] = k.attentionCached(tf.slice(qkv, [past, 0], [t, -1]), cache, { past, heads });
        cache = next;
        past += t;
        return out;
      });
      return [tf.concat(outs), cache];
    };
    await agree('attentionCached', run);
    const whole = tf.tidy(() =>
      activeKernels()
        .attention(matrix(time, 3 * C, 13), { time, heads })[0]
        .dataSync(),
    );
    assertClose(valuesOf(run, activeKernels())[0]!, whole, { what: 'cached against whole' });
  });

  it('embedding and its gradient, with repeated tokens', async () => {
    const tables = () => ({ tokens: matrix(5, 7, 14), positions: matrix(8, 7, 15) });
    await agree('embed', (k) => k.embed(ids(12, 16, 5), tables(), { time: 6, start: 2 }));
    await agree('embedGrad', (k) => k.embedGrad(matrix(12, 7, 17), ids(12, 16, 5), { ...tables(), time: 6 }));
  });

  it('cross-entropy under the head and its gradients', async () => {
    for (const [n, C, V] of [
      [1, 4, 3],
      [6, 9, 41],
      [131, 8, 530],
    ] as const) {
      const input = () =>
        [matrix(n, C, 18, 3), matrix(V, C, 19), ids(n, 20, V)] as [Tensor2D, Tensor2D, Tensor1D];
      await agree('headLosses', (k) => k.headLosses(...input()));
      await agree('headMeanLoss', (k) => k.headMeanLoss(...input()));
    }
  });

  it('cross-entropy of logits beyond the range of exp stays exact', async () => {
    const h = () =>
      tf.tensor2d([
        [1000, 0],
        [-1000, 0],
        [0, 300],
      ]);
    const head = () =>
      tf.tensor2d([
        [1, 0],
        [0, 1],
      ]);
    const losses = valuesOf(
      (k) => k.headLosses(h(), head(), tf.tensor1d([0, 0, 0], 'int32')),
      activeKernels(),
    )[0]!;
    assertClose(losses, [0, 1000, 300], { what: 'losses', tolerance: 1e-7 });
  });

  it('NaN in a row gives NaN for that row alone', () => {
    const h = () =>
      tf.tensor2d([
        [Number.NaN, 1, 2, 3],
        [1, 1, 2, 3],
        [Number.POSITIVE_INFINITY, 1, 2, 3],
      ]);
    const run = (k: Kernels) => k.headLosses(h(), matrix(5, 4, 21), ids(3, 22, 5));
    const losses = valuesOf(run, activeKernels())[0]!;
    assert.deepEqual([...losses].map(Number.isFinite), [false, true, false]);
    const smooth = valuesOf((k) => k.gelu(h()), activeKernels())[0]!;
    assert.deepEqual(Number.isNaN(smooth[0]) && smooth.subarray(1, 8).every(Number.isFinite), true);
    const normed = valuesOf(
      (k) => k.layerNorm(h(), vector(4, 1), vector(4, 2), 1e-5)[0],
      activeKernels(),
    )[0]!;
    assert.ok(Number.isNaN(normed[0]) && Number.isFinite(normed[4]));
  });

  it('one AdamW step', async () => {
    const step = {
      learningRate: 0.01,
      beta1: 0.9,
      beta2: 0.99,
      epsilon: 1e-8,
      weightDecay: 0.1,
      correction1: 0.19,
      correction2: 0.0199,
      gradientScale: 0.5,
    };
    await agree('adamW', (k) => {
      const [weight, moment1, moment2] = [vector(11, 23), vector(11, 24), tf.square(vector(11, 25))];
      const state = { weight, moment1, moment2 } as { weight: Tensor; moment1: Tensor; moment2: Tensor };
      k.adamW(state, vector(11, 26), step);
      return [state.weight, state.moment1, state.moment2];
    });
    await agree('sumOfSquares', (k) => tf.scalar(k.sumOfSquares([vector(3000, 27), matrix(3, 5, 28)])));
  });

  it('a row is summed in the same order whatever rows stand beside it', () => {
    const [x, w, b] = [matrix(70, 33, 29), matrix(33, 21, 30), vector(21, 31)];
    const whole = activeKernels().linear(x, w, b).dataSync();
    const part = activeKernels()
      .linear(tf.slice(x, [5, 0], [2, -1]), w, b)
      .dataSync();
    assert.deepEqual(part, whole.slice(5 * 21, 7 * 21));
  });
});
