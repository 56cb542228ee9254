import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { describe, it } from 'node:test';
import * as tf from '@tensorflow/tfjs';
import { initialWeights } from '#shared/weights/initial-weights.ts';
import { parseModelConfig, tensorShapes } from '#shared/weights/model-config.ts';
import { below, seededUniform, shuffled } from '#shared/weights/random.ts';
import { allLogits } from '#test/helpers/model-passes.ts';
import { smallConfig } from '#test/helpers/tensors.ts';

const config = smallConfig({ n_embd: 96, n_layer: 2 });
const LLAMA = {
  model_type: 'llama',
  hidden_size: 96,
  intermediate_size: 200,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  num_hidden_layers: 2,
  max_position_embeddings: 64,
  vocab_size: 300,
};

/** Of values around 0. */
const sdOf = (values: Float32Array) => Math.sqrt(values.reduce((sum, x) => sum + x * x, 0) / values.length);

describe('initialWeights', () => {
  it('makes each kind of weight as large as it should be', () => {
    const weights = initialWeights(config, 1);
    assert.deepEqual([...weights.keys()], [...tensorShapes(config).keys()]);
    assert.ok(weights.get('transformer.ln_f.weight')!.every((x) => x === 1));
    assert.ok(weights.get('transformer.h.0.attn.c_attn.bias')!.every((x) => x === 0));
    const expected = {
      'h.1.attn.c_attn.weight': 0.02,
      'h.1.attn.c_proj.weight': 0.01,
      'h.1.mlp.c_proj.weight': 0.01,
      'wte.weight': 0.5 / Math.sqrt(96),
      'wpe.weight': 0.005,
    };
    for (const [name, sd] of Object.entries(expected)) {
      const values = weights.get(`transformer.${name}`)!;
      const measured = sdOf(values);
      assert.ok(Math.abs(measured / sd - 1) < 0.05, `${name}: ${measured}`);
    }
  });

  it('makes weights of every family: logits of a standard deviation of about a half', async () => {
    await tf.setBackend('cpu');
    for (const [changes, layers] of [
      [{ tie_word_embeddings: true }, 2],
      [{ model_type: 'qwen3', head_dim: 24 }, 2],
    ] as const) {
      const llama = parseModelConfig({ ...LLAMA, ...changes });
      const weights = initialWeights(llama, 3);
      assert.deepEqual([...weights.keys()], [...tensorShapes(llama).keys()]);
      assert.ok(
        Math.abs(
          sdOf(weights.get('model.layers.1.mlp.down_proj.weight')!) / (0.02 / Math.sqrt(2 * layers)) - 1,
        ) < 0.05,
      );
      const logits = await allLogits(llama, weights, [1, 2, 3, 4, 5, 6, 7, 8]);
      assert.ok(Math.abs(sdOf(logits) - 0.5) < 0.1, `${sdOf(logits)}`);
    }
  });

  it('makes the same bytes on every machine', () => {
    const hash = createHash('sha256');
    for (const values of initialWeights(config, 1).values()) hash.update(new Uint8Array(values.buffer));
    assert.equal(hash.digest('hex'), 'dbd943ed439d5fe2652ce86254e95a0b57e6a12a5e81c0f65e6cfed075465b3c');
    assert.notDeepEqual(initialWeights(config, 2), initialWeights(config, 1));
  });
});

describe('seededUniform', () => {
  it('fills [0, 1) evenly and without runs', () => {
    const uniform = seededUniform(2 ** 40 + 1);
    const bins = new Array<number>(16).fill(0);
    let product = 0;
    let last = uniform();
    for (let i = 0; i < 16_000; i++) {
      const next = uniform();
      assert.ok(next >= 0 && next < 1);
      bins[Math.floor(next * 16)]!++;
      product += (next - 0.5) * (last - 0.5);
      last = next;
    }
    // Five standard deviations of a bin's count, and of the correlation of neighbours.
    for (const count of bins) assert.ok(Math.abs(count - 1000) < 5 * Math.sqrt(1000), `${bins}`);
    assert.ok(Math.abs(product / 16_000) < (5 * (1 / 12)) / Math.sqrt(16_000));
  });

  it('shuffles every number once', () => {
    const order = shuffled(seededUniform(3), 50);
    assert.notDeepEqual(
      [...order],
      [...order].sort((a, b) => a - b),
    );
    assert.deepEqual(
      [...order].sort((a, b) => a - b),
      Array.from({ length: 50 }, (_, i) => i),
    );
    assert.deepEqual([below(() => 0, 7), below(() => 1 - 2 ** -32, 7)], [0, 6]);
  });
});
