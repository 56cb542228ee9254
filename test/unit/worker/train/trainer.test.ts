import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import * as tf from '@tensorflow/tfjs';
import { initialWeights } from '#shared/weights/initial-weights.ts';
import { plainLossAndGradients } from '#test/helpers/plain-gpt2.ts';
import { assertClose, onBackend, roughWeights, smallConfig } from '#test/helpers/tensors.ts';
import { startBackend } from '#worker/model/backend/start.ts';
import { toTensors } from '#worker/model/tensors.ts';
import { batches } from '#worker/train/batches.ts';
import { Trainer } from '#worker/train/trainer.ts';

const config = smallConfig({ n_embd: 24 });
const text = Uint16Array.from({ length: 2000 }, (_, i) => (i * 7 + ((i * i) % 5)) % config.vocabulary);
const source = () => batches(text, { context: config.context, batchSize: 4, seed: 1 });
const options = { learningRate: 0.01, warmupSteps: 5, totalSteps: 100, weightDecay: 0.1, gradClip: 1 };

describe('Trainer', () => {
  before(() => startBackend('wasm'));

  it('takes the AdamW step of the plain gradients', async () => {
    const weights = roughWeights(config, 1);
    const batch = source().next().value;
    const trainer = new Trainer(config, weights, { ...options, warmupSteps: 1 });
    const { loss, gradientNorm, learningRate } = await trainer.step(batch);
    const stepped = trainer.weights();
    trainer.dispose();

    const plain = await onBackend('cpu', () =>
      plainLossAndGradients(config, toTensors(config, weights), batch),
    );
    const valuesOf = (gradient: tf.Tensor) => gradient.dataSync() as Float32Array;
    const gradients = await onBackend('cpu', () =>
      [...plain.gradients].map(([name, gradient]) => [name, valuesOf(gradient)] as const),
    );
    const norm = Math.hypot(...gradients.map(([, gradient]) => Math.hypot(...gradient)));
    assertClose([loss, gradientNorm, learningRate], [plain.loss, norm, 0.01], { what: 'step' });
    assert.ok(norm > 1, 'the clipping matters here');
    for (const [name, gradient] of gradients) {
      const before = weights.get(name)!;
      const keep =
        name.includes('wte') || name.includes('wpe') || /c_\w+\.weight/.test(name) ? 1 - 0.01 * 0.1 : 1;
      const expected = before.map((w, i) => {
        const g = gradient[i]! / norm;
        return w * keep - (0.01 * g) / (Math.abs(g) + 1e-8); // the first step of Adam: m/√v is ±1
      });
      // Where the gradient is near 0 the quotient amplifies its rounding: compare where it is not.
      const large = [...expected.keys()].filter((i) => Math.abs(gradient[i]! / norm) > 1e-5);
      assertClose(
        large.map((i) => stepped.get(name)![i]!),
        large.map((i) => expected[i]!),
        { what: name, tolerance: 1e-4 },
      );
    }
  });

  it('learns a regular text, the same way twice, and leaves no tensor behind', async () => {
    const tensors = tf.memory().numTensors;
    const run = async () => {
      const trainer = new Trainer(config, initialWeights(config, 1), options);
      const losses: number[] = [];
      for (const batch of source()) {
        losses.push((await trainer.step(batch)).loss);
        if (losses.length === 60) break;
      }
      const weights = trainer.weights();
      trainer.dispose();
      trainer.dispose();
      return { losses, weights };
    };
    const first = await run();
    assert.ok(first.losses[59]! < first.losses[0]! - 1, `${first.losses[0]} to ${first.losses[59]}`);
    assert.deepEqual(await run(), first);
    assert.equal(tf.memory().numTensors, tensors);
  });

  it('goes on from other weights with its moments', async () => {
    const trainer = new Trainer(config, initialWeights(config, 1), options);
    const data = source();
    await trainer.step(data.next().value);
    const base = initialWeights(config, 2);
    trainer.load(base);
    assert.deepEqual(trainer.weights(), base);
    const { loss, learningRate } = await trainer.step(data.next().value);
    assert.ok(Number.isFinite(loss));
    assert.ok(learningRate > 0.01 / 5, 'the schedule went on');
    trainer.dispose();
  });

  it('changes nothing on a batch whose loss is not finite', async () => {
    const bad = initialWeights(config, 1);
    bad.get('transformer.ln_f.bias')![0] = Number.NaN;
    const trainer = new Trainer(config, bad, options);
    const before = trainer.weights();
    const { loss } = await trainer.step(source().next().value);
    assert.ok(Number.isNaN(loss));
    assert.deepEqual(trainer.weights(), before);
    trainer.dispose();
  });
});
