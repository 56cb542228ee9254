import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import * as tf from '@tensorflow/tfjs';
import { initialWeights } from '#shared/weights/initial-weights.ts';
import { parseModelConfig } from '#shared/weights/model-config.ts';
import { plainLossAndGradients } from '#test/helpers/plain-gpt2.ts';
import { assertClose, onBackend, roughWeights, smallConfig } from '#test/helpers/tensors.ts';
import { startBackend } from '#worker/model/backend/start.ts';
import { toTensors } from '#worker/model/tensors.ts';
import { batches } from '#worker/train/batches.ts';
import { Trainer } from '#worker/train/trainer.ts';

const config = smallConfig({ n_embd: 24 });
const text = Uint16Array.from({ length: 2000 }, (_, i) => (i * 7 + ((i * i) % 5)) % config.vocabulary);
const source = () => batches(text, { context: config.context, batchSize: 4, seed: 1 });
const LLAMA = parseModelConfig({
  model_type: 'llama',
  hidden_act: 'silu',
  num_hidden_layers: 2,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  hidden_size: 24,
  intermediate_size: 40,
  max_position_embeddings: 12,
  vocab_size: 37,
  rms_norm_eps: 1e-5,
  tie_word_embeddings: true,
});
const options = { learningRate: 0.01, warmupSteps: 5, totalSteps: 100, weightDecay: 0.1, gradClip: 1 };

describe('Trainer', () => {
  before(() => startBackend('wasm'));

  it('takes the AdamW step of the plain gradients', async () => {
    const weights = roughWeights(config, 1);
    const batch = source().next().value;
    const trainer = new Trainer(config, weights, { ...options, warmupSteps: 1 });
    const { loss, gradientNorm, learningRate } = await trainer.step(batch);
    const stepped = await trainer.weights();
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
      const weights = await trainer.weights();
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
    assert.deepEqual(await trainer.weights(), base);
    const { loss, learningRate } = await trainer.step(data.next().value);
    assert.ok(Number.isFinite(loss));
    assert.ok(learningRate > 0.01 / 5, 'the schedule went on');
    trainer.dispose();
  });

  it('changes nothing on a batch whose loss is not finite', async () => {
    const bad = initialWeights(config, 1);
    bad.get('transformer.ln_f.bias')![0] = Number.NaN;
    const trainer = new Trainer(config, bad, options);
    const before = await trainer.weights();
    const { loss } = await trainer.step(source().next().value);
    assert.ok(Number.isNaN(loss));
    assert.deepEqual(await trainer.weights(), before);
    trainer.dispose();
  });

  it('makes of several small batches the step of a large one', async () => {
    const weights = roughWeights(config, 1);
    const large = batches(text, { context: config.context, batchSize: 6, seed: 1 }).next().value;
    const small = batches(text, { context: config.context, batchSize: 2, seed: 1 });
    const [one, three] = [new Trainer(config, weights, options), new Trainer(config, weights, options)];
    const whole = await one.step(large);
    const parts = await three.step(small.next().value, small.next().value, small.next().value);
    assertClose([parts.loss, parts.gradientNorm], [whole.loss, whole.gradientNorm], { what: 'step' });
    assert.equal(parts.tokens, whole.tokens);
    // Adam's first step is ±rate whatever the gradient, so the gradients are compared by their moments.
    for (const name of one.trained.keys()) {
      const [expected, actual] = [await one.state(name), await three.state(name)];
      assertClose(actual.moment1, expected.moment1, { what: name, tolerance: 1e-5 });
    }
    one.dispose();
    three.dispose();
  });

  for (const family of ['gpt2', 'llama'] as const)
    it(`trains chosen tensors as the whole trains them, and leaves the others, ${family}`, async () => {
      const config = family === 'gpt2' ? smallConfig({ n_embd: 24 }) : LLAMA;
      const weights = roughWeights(config, 1);
      const data = batches(text, { context: config.context, batchSize: 4, seed: 1 });
      const batch = data.next().value;
      const before = tf.memory().numTensors;
      // Without clipping, what a tensor's gradient is does not depend on the others.
      const free = { ...options, gradClip: 1e9 };
      const all = new Trainer(config, weights, free);
      const names = [...weights.keys()];
      const some = [
        ...[
          names.filter((name) => name.includes('.1.')),
          [names.find((name) => name.endsWith('.bias')) ?? names[0]!],
        ],
        ...[names.filter((name) => name.includes('wte') || name.includes('embed_tokens')), names.slice(-1)],
      ];
      const { loss } = await all.step(batch);
      for (const only of some) {
        const trainer = new Trainer(config, weights, { ...free, only });
        assert.deepEqual([...trainer.trained.keys()], only);
        const frozenTensors = tf.memory().numTensors;
        assert.ok(Math.abs((await trainer.step(batch)).loss - loss) < 1e-5);
        assert.equal(tf.memory().numTensors, frozenTensors);
        const stepped = await trainer.weights();
        for (const name of names) {
          if (!only.includes(name)) assert.deepEqual(stepped.get(name), weights.get(name), name);
        }
        for (const name of only) {
          const expected = (await all.state(name)).moment1;
          assertClose((await trainer.state(name)).moment1, expected, { what: name, tolerance: 2e-5 });
        }
        trainer.dispose();
      }
      all.dispose();
      assert.equal(tf.memory().numTensors, before);
    });
});
