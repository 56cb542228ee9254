import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import * as tf from '@tensorflow/tfjs';
import { plainLosses } from '#test/helpers/plain-gpt2.ts';
import { assertClose, onBackend, randomIds, roughWeights, smallConfig } from '#test/helpers/tensors.ts';
import { windowLosses } from '#worker/evaluate/window-losses.ts';
import { startBackend } from '#worker/model/backend/start.ts';
import { Model } from '#worker/model/model.ts';
import { toTensors } from '#worker/model/tensors.ts';
import { fromValues } from '#worker/model/weight-set.ts';

const config = smallConfig();
const weights = roughWeights(config, 1);
const time = config.context;
const windows = Array.from({ length: 7 }, (_, i) =>
  Uint32Array.from(randomIds(time + 1, 40 + i, config.vocabulary)),
);
/** A tenth of a micro-nat: kernels for few rows and for many add up in different orders. */
const ROUNDING = { what: 'losses', tolerance: 1e-7 };

describe('windowLosses', () => {
  let model: Model;
  before(async () => {
    await startBackend('wasm');
    model = await Model.load(config, fromValues(weights));
  });
  after(() => model.dispose());

  it('is the mean loss of the tokens of each window', async () => {
    const expected = await onBackend('cpu', () =>
      windows.map((window) =>
        tf.tidy(() => {
          const batch = { ids: window.subarray(0, time), labels: window.subarray(1), time };
          return tf.mean(plainLosses(config, toTensors(config, weights), batch)).dataSync()[0]!;
        }),
      ),
    );
    assertClose(await windowLosses(model, windows), expected, { what: 'losses', tolerance: 1e-6 });
  });

  it('gives the same figures however the windows are grouped, and reports progress', async () => {
    const seen: [number, number][] = [];
    const together = await windowLosses(model, windows, { batch: 3, onProgress: (...at) => seen.push(at) });
    assert.deepEqual(seen, [
      [3, 7],
      [6, 7],
      [7, 7],
    ]);
    assertClose(await windowLosses(model, windows, { batch: 1 }), together, ROUNDING);
    assertClose(await windowLosses(model, windows.slice(4), { batch: 2 }), together.slice(4), ROUNDING);
  });

  it('takes windows of different lengths in one call', async () => {
    const short = windows.map((window, i) => window.subarray(0, 3 + (i >> 1)));
    const alone = [];
    for (const window of short) alone.push(...(await windowLosses(model, [window])));
    assertClose(await windowLosses(model, short), alone, ROUNDING);
  });

  it('gives NaN for weights that are not finite, and leaves no tensor behind', async () => {
    const tensors = tf.memory().numTensors;
    for (const value of [Number.NaN, Number.POSITIVE_INFINITY]) {
      const values = new Map([...weights, ['transformer.ln_f.bias', filled(config.width, value)] as const]);
      const bad = await Model.load(config, fromValues(values));
      assert.ok((await windowLosses(bad, windows)).every(Number.isNaN));
      bad.dispose();
    }
    assert.equal(tf.memory().numTensors, tensors);
  });

  it('lets other work run between batches and stops at an abort', async () => {
    const control = new AbortController();
    let turns = 0;
    const timer = setInterval(() => {
      turns++;
      control.abort(new Error('enough'));
    }, 0);
    const many = Array.from({ length: 200 }, (_, i) => windows[i % windows.length]!);
    await assert.rejects(windowLosses(model, many, { signal: control.signal, batch: 1 }), /enough/);
    clearInterval(timer);
    assert.ok(turns > 0);
  });

  it('BAD_REQUEST: refuses windows that are too short or too long', async () => {
    for (const length of [0, 1, time + 2]) {
      await assert.rejects(windowLosses(model, [new Uint32Array(length)]), { code: 'BAD_REQUEST' });
    }
    assert.deepEqual(await windowLosses(model, []), []);
  });
});

function filled(size: number, value: number): Float32Array {
  return new Float32Array(size).fill(value);
}
