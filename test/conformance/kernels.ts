import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import type { Tensor, Tensor1D, Tensor2D } from '@tensorflow/tfjs';
import * as tf from '@tensorflow/tfjs';
import { assertClose, onBackend, randomIds, randomValues } from '#test/helpers/tensors.ts';
import { genericKernels } from '#worker/model/kernels/generic.ts';
import { activeKernels, type CachedRows, type Kernels } from '#worker/model/kernels/kernels.ts';

type Work = (kernels: Kernels) => Tensor | (Tensor | null)[];

/** Values of every result of `work`, with the kernels and the memory of the current backend. */
async function valuesOf(work: Work, kernels: Kernels): Promise<Float32Array[]> {
  const results = tf.tidy(() => [work(kernels)].flat().filter((x) => x !== null));
  const values = await Promise.all(results.map((x) => x.data() as Promise<Float32Array>));
  tf.dispose(results);
  return values;
}

/** The kernels in use against the generic ones on the plain JavaScript backend. */
async function agree(what: string, work: Work, tolerance = 1e-5): Promise<void> {
  const tensorsBefore = tf.memory().numTensors;
  const ours = await valuesOf(work, activeKernels());
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

/** What the kernels of every backend do: the same as TensorFlow.js operations on the plain JavaScript backend. */
export function describeKernels(backend: string, start: () => Promise<unknown>): void {
  describe(`kernels on ${backend}`, () => {
    before(async () => {
      await start();
      assert.equal(tf.getBackend(), backend);
    });
    dense();
    pointwise();
    attention();
    ends();
    optimiser();
  });
}

function dense(): void {
  // One row, edges of tiles, and sizes past one block of rows (64), of depth (256) and of columns (512).
  for (const [n, C, F] of [
    [1, 7, 9],
    [2, 8, 16],
    [5, 6, 10],
    [3, 1, 1],
    [17, 20, 33],
    [33, 64, 27],
    [67, 130, 21],
    [9, 300, 530],
  ] as const) {
    it(`linear and its gradient, ${n}×${C}·${C}×${F}`, async () => {
      for (const layout of ['in-out', 'out-in'] as const) {
        const w = () => (layout === 'in-out' ? matrix(C, F, 2) : matrix(F, C, 2));
        for (const bias of [true, false]) {
          await agree('linear', (k) => k.linear(matrix(n, C, 1), w(), bias ? vector(F, 3) : null, layout));
          await agree('linearGrad', (k) =>
            k.linearGrad(matrix(n, F, 4), matrix(n, C, 1), w(), { layout, bias }),
          );
        }
      }
      await agree('logits', (k) => k.logits(matrix(n, C, 1), matrix(F, C, 2)));
    });
  }

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

  it('RMS norm and its gradient', async () => {
    for (const [n, C] of [
      [1, 4],
      [7, 19],
      [33, 64],
    ] as const) {
      const input = () => ({ x: matrix(n, C, 7, 3), gain: vector(C, 8) });
      await agree('rmsNorm', (k) => k.rmsNorm(input().x, input().gain, 1e-5));
      await agree('rmsNormGrad', (k) => {
        const [, inverseRms] = k.rmsNorm(input().x, input().gain, 1e-5);
        return k.rmsNormGrad(matrix(n, C, 10), { ...input(), inverseRms });
      });
    }
  });
}

function pointwise(): void {
  it('gelu and its gradient, out to where it is flat', async () => {
    await agree('gelu', (k) => k.gelu(matrix(3, 101, 5, 12)));
    await agree('geluGrad', (k) => k.geluGrad(matrix(3, 101, 6), matrix(3, 101, 5, 12)));
  });

  it('swiglu and its gradient', async () => {
    const input = () => [matrix(3, 101, 36, 12), matrix(3, 101, 37)] as const;
    await agree('swiglu', (k) => k.swiglu(...input()));
    await agree('swigluGrad', (k) => k.swigluGrad(matrix(3, 101, 38), ...input()));
  });
}

function attention(): void {
  // 70 and 130 tokens: more than one block of 64 query rows.
  for (const [B, time, heads, kvHeads, D, window] of [
    [1, 1, 1, 1, 4, null],
    [3, 5, 2, 2, 3, null],
    [2, 70, 3, 3, 6, null],
    [1, 130, 1, 1, 32, null],
    [2, 70, 6, 2, 4, null],
    [2, 9, 3, 1, 6, 4],
    [1, 130, 4, 2, 8, 65],
    [1, 3, 2, 2, 1, null],
    [1, 17, 3, 1, 5, null],
    [2, 3, 3, 3, 20, 2],
    [1, 17, 4, 2, 64, null],
    [1, 3, 3, 1, 80, null],
    [1, 17, 2, 2, 128, 6],
  ] as const) {
    const shape = { time, heads, kvHeads, window };
    it(`attention and its gradient, ${B} times ${JSON.stringify(shape)}`, async () => {
      const input = () => ({
        q: matrix(B * time, heads * D, 11, 2),
        k: matrix(B * time, kvHeads * D, 32, 2),
        v: matrix(B * time, kvHeads * D, 33, 2),
      });
      const run = (kernels: Kernels, { q, k, v } = input()) => kernels.attention(q, k, v, shape);
      await agree('attention', (kernels) => run(kernels));
      await agree('attentionGrad', (kernels) => {
        const [out, logSum] = run(kernels);
        const saved = { ...input(), out, logSum };
        // Together: to see one token alone, queries and keys do not matter, and have gradients of rounding.
        return tf.concat(kernels.attentionGrad(matrix(B * time, heads * D, 12), saved, shape), 1);
      });
    });
  }

  it('attention over caches equals attention over the whole sequences', async () => {
    const shape = { heads: 4, kvHeads: 2, window: 5 };
    const [time, D] = [9, 6];
    const input = () =>
      [matrix(2 * time, 4 * D, 13), matrix(2 * time, 2 * D, 34), matrix(2 * time, 2 * D, 35)] as const;
    // Two sequences that go on by turns or together; [rows of the one, rows of the other].
    const turns = [
      [4, 0],
      [1, 3],
      [3, 1],
      [1, 5],
    ] as const;
    const run = (kernels: Kernels) => {
      const all = input();
      const caches = [0, 1].map(() => ({ keys: tf.zeros([2, 2 * D]), values: tf.zeros([2, 2 * D]) }));
      const past = [0, 0];
      const outs: Tensor2D[][] = [[], []];
      for (const rows of turns) {
        const going = [0, 1].filter((i) => rows[i]! > 0);
        const part = (x: Tensor2D) =>
          tf.concat(going.map((i) => tf.slice(x, [i * time + past[i]!, 0], [rows[i]!, -1])));
        const [q, k, v] = all.map(part) as [Tensor2D, Tensor2D, Tensor2D];
        const sequences = going.map((i) => ({ layer: caches[i]!, past: past[i]!, rows: rows[i]! }));
        const out = kernels.attentionCached(q, k, v, sequences as CachedRows[], shape);
        const pieces = tf.split(
          out,
          going.map((i) => rows[i]!),
        );
        for (const [j, i] of going.entries()) {
          outs[i]!.push(pieces[j] as Tensor2D);
          past[i]! += rows[i]!;
        }
      }
      const kept = caches.map(({ keys, values }) =>
        tf.slice(tf.concat([keys, values], 1), [0, 0], [time, -1]),
      );
      for (const { keys, values } of caches) tf.dispose([keys, values]);
      return [tf.concat(outs.flat()), ...kept];
    };
    await agree('attentionCached', run);
    const [whole] = await valuesOf((k) => k.attention(...input(), { time, ...shape }), activeKernels());
    const [cached] = await valuesOf(run, activeKernels());
    assertClose(cached!, whole!, { what: 'cached against whole' });
  });

  for (const [heads, kvHeads, D, window] of [
    [4, 1, 5, null],
    [6, 3, 20, null],
    [2, 2, 80, 50],
  ] as const) {
    it(`a cache that grows from one row, ${heads}/${kvHeads} heads of ${D}, window ${window}`, async () => {
      const shape = { heads, kvHeads, window };
      const time = 70;
      const input = () =>
        [matrix(time, heads * D, 42), matrix(time, kvHeads * D, 43), matrix(time, kvHeads * D, 44)] as const;
      const run = (kernels: Kernels) => {
        const layer = { keys: tf.zeros([1, kvHeads * D]), values: tf.zeros([1, kvHeads * D]) };
        let past = 0;
        const outs = [1, 66, 1, 1, 1].map((rows) => {
          const [q, k, v] = input().map((x) => tf.slice(x, [past, 0], [rows, -1])) as [
            Tensor2D,
            Tensor2D,
            Tensor2D,
          ];
          const sequence = { layer, past, rows } as CachedRows;
          past += rows;
          return kernels.attentionCached(q, k, v, [sequence], shape);
        });
        tf.dispose([layer.keys, layer.values]);
        return tf.concat(outs);
      };
      await agree('attentionCached', run);
      const [whole] = await valuesOf((k) => k.attention(...input(), { time, ...shape }), activeKernels());
      assertClose((await valuesOf(run, activeKernels()))[0]!, whole!, { what: 'cached against whole' });
    });
  }

  it('columns apart, and their gradient', async () => {
    const parts = () => tf.split(matrix(3, 11, 45), [2, 5, 4], 1) as Tensor[];
    await agree('split', parts);
    await agree('split into rows', () => tf.split(matrix(4, 3, 46), 2) as Tensor[]);
    await agree('gradient of split', () =>
      tf.grad((x) => tf.mul(tf.split(x, [2, 5, 4], 1)[1]!, 3))(matrix(3, 11, 45)),
    );
  });

  it('rotary positions, and their inverse', async () => {
    const [n, heads, D] = [7, 3, 10];
    const angles = randomValues((n * D) / 2, 40, 30);
    const table = (of: (angle: number) => number) => tf.tensor2d(angles.map(of), [n, D / 2]);
    const turn = (k: Kernels, x: Tensor2D, inverse: boolean) =>
      k.rope(x, { cos: table(Math.cos), sin: table(Math.sin) }, { heads, inverse });
    const x = () => matrix(n, heads * D, 41);
    for (const inverse of [false, true]) await agree('rope', (k) => turn(k, x(), inverse));
    const [back] = await valuesOf((k) => turn(k, turn(k, x(), false), true), activeKernels());
    assertClose(back!, (await valuesOf(x, activeKernels()))[0]!, { what: 'there and back' });
  });
}

function ends(): void {
  it('rows of a table and their gradient, with repeated tokens', async () => {
    await agree('gather', (k) => k.gather(matrix(5, 7, 14), ids(12, 16, 5)));
    await agree('scatterAdd', (k) => k.scatterAdd(matrix(12, 7, 17), ids(12, 16, 5), 5));
  });

  it('cross-entropy under the head and its gradients', async () => {
    for (const [n, C, V] of [
      [1, 4, 3],
      [6, 9, 41],
      [131, 8, 530],
      [3, 20, 1027],
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
    const labels = () => tf.tensor1d([0, 0, 0], 'int32');
    const [losses] = await valuesOf((k) => k.headLosses(h(), head(), labels()), activeKernels());
    assertClose(losses!, [0, 1000, 300], { what: 'losses', tolerance: 1e-7 });
  });

  it('NaN in a row gives NaN for that row alone', async () => {
    const h = () =>
      tf.tensor2d([
        [Number.NaN, 1, 2, 3],
        [1, 1, 2, 3],
        [Number.POSITIVE_INFINITY, 1, 2, 3],
      ]);
    const run = (k: Kernels) => k.headLosses(h(), matrix(5, 4, 21), ids(3, 22, 5));
    const losses = (await valuesOf(run, activeKernels()))[0]!;
    assert.deepEqual([...losses].map(Number.isFinite), [false, true, false]);
    const smooth = (await valuesOf((k) => k.gelu(h()), activeKernels()))[0]!;
    assert.deepEqual(Number.isNaN(smooth[0]) && smooth.subarray(1, 8).every(Number.isFinite), true);
    for (const norm of [
      (k: Kernels) => k.layerNorm(h(), vector(4, 1), vector(4, 2), 1e-5)[0],
      (k: Kernels) => k.rmsNorm(h(), vector(4, 1), 1e-5)[0],
    ]) {
      const normed = (await valuesOf(norm, activeKernels()))[0]!;
      assert.ok(Number.isNaN(normed[0]) && Number.isFinite(normed[4]));
    }
  });
}

function optimiser(): void {
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
  });

  it('the sum of squares over tensors', async () => {
    const sum = async (kernels: Kernels) => {
      const tensors = [vector(3000, 27), matrix(3, 5, 28)];
      const result = await kernels.sumOfSquares(tensors);
      tf.dispose(tensors);
      return [result];
    };
    const expected = await onBackend('cpu', () => sum(genericKernels));
    assertClose(await sum(activeKernels()), expected, { what: 'sum of squares', tolerance: 1e-6 });
  });
}
