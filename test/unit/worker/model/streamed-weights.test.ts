import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import * as tf from '@tensorflow/tfjs';
import { tensorShapes } from '#shared/weights/model-config.ts';
import { assertClose, onBackend, randomIds, roughWeights, smallConfig } from '#test/helpers/tensors.ts';
import { startBackend } from '#worker/model/backend/start.ts';
import { Model } from '#worker/model/model.ts';
import type { BytesFile, TensorFile } from '#worker/model/stored-tensor.ts';
import { leastBudget, StreamedWeights } from '#worker/model/streamed-weights.ts';
import { fromValues } from '#worker/model/weight-set.ts';

const config = smallConfig({ n_layer: 6, vocab_size: 131 });
const weights = roughWeights(config, 1);
const time = 7;
const batch = { ids: randomIds(3 * time, 1, 131), labels: randomIds(3 * time, 2, 131) };
const bytesOf = (values: ReadonlyMap<string, Float32Array>) =>
  [...values.values()].reduce((sum, { byteLength }) => sum + byteLength, 0);
const totalBytes = bytesOf(weights);
const layerBytes = leastBudget(config);

/** A file in memory that knows whether it is open, and may refuse to be read. */
class File implements BytesFile {
  static open = 0;
  static reads: string[] = [];
  static broken = '';
  readonly #name: string;
  readonly #bytes: Uint8Array;

  constructor(name: string, bytes: Uint8Array) {
    this.#name = name;
    this.#bytes = bytes;
    File.open++;
  }

  get length(): number {
    return this.#bytes.length;
  }

  async read(into: Uint8Array, at: number): Promise<void> {
    if (this.#name === File.broken) throw new Error('the disk is gone');
    File.reads.push(this.#name);
    into.set(this.#bytes.subarray(at, at + into.length));
  }

  async close(): Promise<void> {
    File.open--;
  }
}

function* files(values: ReadonlyMap<string, Float32Array>): Generator<TensorFile> {
  for (const { name, dtype, bytes } of fromValues(values))
    yield { name, dtype, bytes: new File(name, bytes) };
}

async function answers(model: Model): Promise<Float32Array[]> {
  const losses = await model.losses(batch, time);
  const sequence = model.newSequence();
  const [first] = await model.next([{ sequence, ids: batch.ids.subarray(0, 4) }]);
  const [second] = await model.next([{ sequence, ids: [5] }]);
  model.disposeSequence(sequence);
  return [losses, first as Float32Array, second as Float32Array];
}

function assertSame(actual: Float32Array[], expected: Float32Array[]): void {
  for (const [i, values] of expected.entries())
    assertClose(actual[i] as Float32Array, values, { what: `answer ${i}`, tolerance: 2e-6 });
}

describe('StreamedWeights', () => {
  before(() => startBackend('wasm'));

  for (const [name, budget] of [
    ['one layer', layerBytes],
    ['a quarter of the weights', totalBytes / 4],
    ['nearly all', totalBytes - 4],
  ] as const) {
    for (const backend of ['wasm', 'cpu'])
      it(`computes what resident weights compute with a budget of ${name}, on ${backend}`, async () => {
        await onBackend(backend, async () => {
          const before = tf.memory().numTensors;
          const resident = await Model.load(config, fromValues(weights));
          const expected = await answers(resident);
          resident.dispose();
          const set = await StreamedWeights.load(config, files(weights), budget);
          const model = new Model(config, set);
          for (let round = 0; round < 2; round++) {
            assertSame(await answers(model), expected);
            assert.ok(set.heldBytes <= budget, `${set.heldBytes} bytes held, ${budget} allowed`);
          }
          model.dispose();
          model.dispose();
          await new Promise((resolve) => setImmediate(resolve));
          assert.equal(tf.memory().numTensors, before);
          assert.equal(File.open, 0);
        });
      });
  }

  it('keeps as many layers as the budget allows, and reads only the others again', async () => {
    const set = await StreamedWeights.load(config, files(weights), layerBytes * 4.5);
    const model = new Model(config, set);
    await model.losses(batch, time);
    File.reads = [];
    await model.losses(batch, time);
    const layers = new Set(File.reads.map((name) => /h\.(\d)/.exec(name)?.[1]).filter(Boolean));
    assert.deepEqual([...layers].sort(), ['2', '3', '4', '5'].slice(-layers.size));
    assert.ok(layers.size <= 4, `layers ${[...layers]} were read again`);
    model.dispose();
  });

  it('swaps tensors, whether they are in memory or not', async () => {
    const set = await StreamedWeights.load(config, files(weights), totalBytes / 2);
    const model = new Model(config, set);
    const first = await answers(model);
    const other = roughWeights(config, 2);
    await model.swap(files(other));
    const resident = await Model.load(config, fromValues(other));
    assertSame(await answers(model), await answers(resident));
    await model.swap(files(weights));
    assert.deepEqual(await answers(model), first);
    assert.equal(File.open, weights.size);
    resident.dispose();
    model.dispose();
  });

  it('fails where a file cannot be read, and works again when it can', async () => {
    const before = tf.memory().numTensors;
    const set = await StreamedWeights.load(config, files(weights), layerBytes * 2);
    const model = new Model(config, set);
    const expected = await answers(model);
    for (const name of ['transformer.h.3.mlp.c_fc.weight', 'transformer.wte.weight']) {
      File.broken = name;
      await assert.rejects(model.losses(batch, time), /the disk is gone/);
      File.broken = '';
      assert.deepEqual(await answers(model), expected);
    }
    model.dispose();
    await new Promise((resolve) => setImmediate(resolve));
    assert.equal(tf.memory().numTensors, before);
  });

  it('MEMORY_BUDGET for a budget below one layer, WEIGHTS_NAMES for a tensor that is missing', async () => {
    await assert.rejects(StreamedWeights.load(config, files(weights), layerBytes - 1), {
      code: 'MEMORY_BUDGET',
    });
    const open = File.open;
    const without = new Map([...weights].slice(1));
    await assert.rejects(StreamedWeights.load(config, files(without), layerBytes), { code: 'WEIGHTS_NAMES' });
    await new Promise((resolve) => setImmediate(resolve));
    assert.equal(File.open, open);
  });

  it('converts F16 and BF16 on the way', async () => {
    const half = (values: Float32Array, bits: (x: number) => number) =>
      new Uint8Array(Uint16Array.from(values, bits).buffer);
    // 1 + k/128 has the same bits in both halves' fractions: exact in either.
    const shapes = tensorShapes(config);
    const stored = (dtype: 'F16' | 'BF16'): TensorFile[] =>
      [...shapes].map(([name, shape]) => {
        const values = Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => i % 128);
        const bits = dtype === 'F16' ? (k: number) => 0x3c00 | (k << 3) : (k: number) => 0x3f80 | k;
        return { name, dtype, bytes: new File(name, half(values, bits)) };
      });
    const floats = new Map(
      [...shapes].map(([name, shape]) => {
        const size = shape.reduce((a, b) => a * b, 1);
        return [name, Float32Array.from({ length: size }, (_, i) => 1 + (i % 128) / 128)];
      }),
    );
    const names = ['transformer.wte.weight', 'transformer.h.0.mlp.c_fc.weight'];
    for (const dtype of ['F16', 'BF16'] as const)
      for (const budget of [totalBytes, totalBytes / 3]) {
        const set = await StreamedWeights.load(config, stored(dtype), budget);
        await set.use(names.slice(1), (w) =>
          assert.deepEqual(w(names[1]!).dataSync(), floats.get(names[1]!)),
        );
        const rows = await set.rows(names[0]!, [3, 130]);
        const { width } = config;
        const table = floats.get(names[0]!)!;
        assert.deepEqual(
          [...rows.dataSync()],
          [...table.subarray(3 * width, 4 * width), ...table.subarray(130 * width)],
        );
        rows.dispose();
        set.dispose();
      }
  });
});
