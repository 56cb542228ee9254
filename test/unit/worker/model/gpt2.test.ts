import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import * as tf from '@tensorflow/tfjs';
import { plainLogits, plainLossAndGradients, plainLosses } from '#test/helpers/plain-gpt2.ts';
import { assertClose, onBackend, randomIds, roughWeights, smallConfig } from '#test/helpers/tensors.ts';
import { startBackend } from '#worker/model/backend/start.ts';
import { Model } from '#worker/model/model.ts';
import { meanLoss, networkOf } from '#worker/model/network.ts';
import { tokenTensor, toTensors } from '#worker/model/tensors.ts';
import { fromValues } from '#worker/model/weight-set.ts';

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
      meanLoss(networkOf(config), (name) => args[names.indexOf(name)]!, {
        ids: tokenTensor(batch.ids),
        labels: tokenTensor(batch.labels),
        time,
      }).asScalar(),
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
    const model = await Model.load(config, fromValues(weights));
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
    const model = await Model.load(config, fromValues(weights));
    const sequence = model.newSequence();
    const ids = batch.ids.slice(0, 7);
    await model.next([{ sequence, ids: ids.subarray(0, 4) }]);
    await model.next([{ sequence, ids: ids.subarray(4, 6) }]);
    const [logits] = await model.next([{ sequence, ids: ids.subarray(6) }]);
    assert.equal(sequence.length, 7);
    const expected = await onBackend('cpu', () =>
      tf.tidy(() => {
        const all = plainLogits(config, toTensors(config, weights), { ids, time: 7 });
        return tf.slice(all, [6, 0], [1, -1]).dataSync();
      }),
    );
    assertClose(logits!, expected, { what: 'logits' });
    model.disposeSequence(sequence);
    model.dispose();
  });

  it('swaps some tensors and leaves no tensor behind', async () => {
    const before = tf.memory().numTensors;
    const model = await Model.load(config, fromValues(weights));
    const first = await model.losses(batch, time);
    const name = 'transformer.h.1.mlp.c_fc.weight';
    const other = roughWeights(config, 2);
    await model.swap(fromValues(new Map([[name, other.get(name)!]])));
    const fresh = await Model.load(config, fromValues(new Map([...weights, [name, other.get(name)!]])));
    const swapped = await model.losses(batch, time);
    assert.notDeepEqual(swapped, first);
    assert.deepEqual(swapped, await fresh.losses(batch, time));
    model.dispose();
    fresh.dispose();
    fresh.dispose();
    assert.equal(tf.memory().numTensors, before);
  });

  it('WEIGHTS_NAMES, WEIGHTS_SHAPE: refuses other tensors', async () => {
    const code = (expected: string) => ({ code: expected });
    const without = new Map([...weights].slice(1));
    await assert.rejects(Model.load(config, fromValues(without)), code('WEIGHTS_NAMES'));
    const extra = new Map([...weights, ['__proto__', new Float32Array(1)] as const]);
    await assert.rejects(Model.load(config, fromValues(extra)), code('WEIGHTS_NAMES'));
    const model = await Model.load(config, fromValues(weights));
    const first = await model.losses(batch, time);
    const bad = new Map([['transformer.ln_f.weight', new Float32Array(config.width + 1)]]);
    const tensors = tf.memory().numTensors;
    await assert.rejects(model.swap(fromValues(bad)), code('WEIGHTS_SHAPE'));
    assert.equal(tf.memory().numTensors, tensors);
    assert.deepEqual(await model.losses(batch, time), first);
    model.dispose();
  });

  it('BAD_REQUEST: refuses tokens outside the vocabulary and sequences over the context', async () => {
    const model = await Model.load(config, fromValues(weights));
    for (const id of [-1, config.vocabulary, 0.5, Number.NaN]) {
      await assert.rejects(model.losses({ ids: [id], labels: [0] }, 1), { code: 'BAD_REQUEST' });
    }
    const long = new Int32Array(config.context + 1);
    await assert.rejects(model.losses({ ids: long, labels: long }, long.length), { code: 'BAD_REQUEST' });
    model.dispose();
  });
});
