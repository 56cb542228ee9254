import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import * as tf from '@tensorflow/tfjs';
import { plainLogits, plainLossAndGradients, plainLosses } from '#test/helpers/plain-gpt2.ts';
import { assertClose, onBackend, randomIds, roughWeights, smallConfig } from '#test/helpers/tensors.ts';
import { startBackend } from '#worker/model/backend.ts';
import { Model, meanLoss, tokenTensor, toTensors } from '#worker/model/gpt2.ts';

const config = smallConfig();
const weights = roughWeights(config, 1);
const time = 10;
const batch = {
  ids: randomIds(3 * time, 2, config.vocabulary),
  labels: randomIds(3 * time, 3, config.vocabulary),
  time,
};

interface Result {
  readonly loss: number;
  readonly values: Map<string, Float32Array>;
}

/** `tf.tidy` for work whose result holds no tensors. */
function inScope(work: () => Result): Result {
  let result: Result | undefined;
  tf.tidy(() => {
    result = work();
  });
  return result!;
}

const valuesOf = (x: tf.Tensor) => x.dataSync() as Float32Array;

function ourGradients(): Result {
  return inScope(() => {
    const tensors = toTensors(config, weights);
    const names = [...tensors.keys()];
    const run = tf.valueAndGrads((...args: tf.Tensor[]) =>
      meanLoss(
        new Map(names.map((name, i) => [name, args[i]!])),
        { ids: tokenTensor(batch.ids), labels: tokenTensor(batch.labels) },
        { config, time },
      ).asScalar(),
    );
    const { value, grads } = run([...tensors.values()]);
    return {
      loss: valuesOf(value)[0]!,
      values: new Map(names.map((name, i) => [name, valuesOf(grads[i]!)])),
    };
  });
}

function plainGradients(): Result {
  return inScope(() => {
    const { loss, gradients } = plainLossAndGradients(config, toTensors(config, weights), batch);
    return { loss, values: new Map([...gradients].map(([name, gradient]) => [name, valuesOf(gradient)])) };
  });
}

describe('GPT-2', () => {
  before(() => startBackend('wasm'));

  it('has the losses of the plain network on the JavaScript backend', async () => {
    const model = Model.load(config, weights);
    const losses = await model.losses(batch, time);
    const expected = await onBackend('cpu', () =>
      tf.tidy(() => plainLosses(config, toTensors(config, weights), batch).dataSync()),
    );
    assertClose(losses, expected, { what: 'losses', tolerance: 2e-6 });
    model.dispose();
  });

  for (const backend of ['wasm', 'cpu']) {
    it(`has the gradients of the plain network, computed on ${backend}`, async () => {
      const ours = await onBackend(backend, ourGradients);
      const expected = await onBackend('cpu', plainGradients);
      assert.ok(Math.abs(ours.loss - expected.loss) < 1e-5);
      assert.deepEqual([...ours.values.keys()], [...expected.values.keys()]);
      for (const [name, values] of expected.values)
        assertClose(ours.values.get(name)!, values, { what: name });
    });
  }

  it('foretells the same next token from a cache as from the whole sequence', async () => {
    const model = Model.load(config, weights);
    const cache = model.newCache();
    const ids = batch.ids.slice(0, 7);
    await model.nextLogits(ids.subarray(0, 4), cache);
    await model.nextLogits(ids.subarray(4, 6), cache);
    const logits = await model.nextLogits(ids.subarray(6), cache);
    assert.equal(cache.length, 7);
    const expected = await onBackend('cpu', () =>
      tf.tidy(() => {
        const all = plainLogits(config, toTensors(config, weights), { ids, time: 7 });
        return tf.slice(all, [6, 0], [1, -1]).dataSync();
      }),
    );
    assertClose(logits, expected, { what: 'logits' });
    model.disposeCache(cache);
    model.dispose();
  });

  it('swaps some tensors and leaves no tensor behind', async () => {
    const before = tf.memory().numTensors;
    const model = Model.load(config, weights);
    const first = await model.losses(batch, time);
    const name = 'transformer.h.1.mlp.c_fc.weight';
    const other = roughWeights(config, 2);
    model.swap(new Map([[name, other.get(name)!]]));
    const fresh = Model.load(config, new Map([...weights, [name, other.get(name)!]]));
    const swapped = await model.losses(batch, time);
    assert.notDeepEqual(swapped, first);
    assert.deepEqual(swapped, await fresh.losses(batch, time));
    model.dispose();
    fresh.dispose();
    fresh.dispose();
    assert.equal(tf.memory().numTensors, before);
  });

  it('WEIGHTS_NAMES, WEIGHTS_SHAPE: refuses other tensors and stays as it was', async () => {
    const code = (expected: string) => ({ code: expected });
    const without = new Map([...weights].slice(1));
    assert.throws(() => Model.load(config, without), code('WEIGHTS_NAMES'));
    const extra = new Map([...weights, ['__proto__', new Float32Array(1)] as const]);
    assert.throws(() => Model.load(config, extra), code('WEIGHTS_NAMES'));
    const model = Model.load(config, weights);
    const first = await model.losses(batch, time);
    const bad = new Map([
      ['transformer.ln_f.bias', new Float32Array(config.width)],
      ['transformer.ln_f.weight', new Float32Array(config.width + 1)],
    ]);
    const tensors = tf.memory().numTensors;
    assert.throws(() => model.swap(bad), code('WEIGHTS_SHAPE'));
    assert.equal(tf.memory().numTensors, tensors);
    assert.deepEqual(await model.losses(batch, time), first);
    model.dispose();
  });

  it('BAD_REQUEST: refuses tokens outside the vocabulary and sequences over the context', async () => {
    const model = Model.load(config, weights);
    for (const id of [-1, config.vocabulary, 0.5, Number.NaN]) {
      await assert.rejects(model.losses({ ids: [id], labels: [0] }, 1), { code: 'BAD_REQUEST' });
    }
    const long = new Int32Array(config.context + 1);
    await assert.rejects(model.losses({ ids: long, labels: long }, long.length), { code: 'BAD_REQUEST' });
    model.dispose();
  });
});
