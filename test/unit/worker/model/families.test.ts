import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import * as tf from '@tensorflow/tfjs';
import { initialWeights } from '#shared/weights/initial-weights.ts';
import { describeModels } from '#test/conformance/model.ts';
import { readModelVectors } from '#test/helpers/model-vectors.ts';
import { startBackend } from '#worker/model/backend/start.ts';
import { batches } from '#worker/train/batches.ts';
import { Trainer } from '#worker/train/trainer.ts';

describeModels('cpu', () => tf.setBackend('cpu'));
describeModels('wasm', () => startBackend('wasm'));

describe('training on wasm', () => {
  before(() => startBackend('wasm'));

  // The text repeats itself every 31 tokens.
  for (const { name, config } of readModelVectors()) {
    it(`lowers the loss of fresh weights: ${name}`, async () => {
      const tensors = tf.memory().numTensors;
      const text = Uint16Array.from({ length: 600 }, (_, i) => (i * i) % 31);
      const source = batches(text, { context: 16, batchSize: 4, seed: 1 });
      const trainer = new Trainer(config, initialWeights(config, 1), { learningRate: 0.01, warmupSteps: 5 });
      const losses: number[] = [];
      while (losses.length < 40) losses.push((await trainer.step(source.next().value)).loss);
      trainer.dispose();
      assert.ok(losses[39]! < losses[0]! / 2, `${losses[0]} to ${losses[39]}`);
      assert.equal(tf.memory().numTensors, tensors, 'tensors left behind');
    });
  }
});
