import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { parameterCount, parseModelConfig, tensorShapes } from '#shared/weights/model-config.ts';

/** What Hugging Face publishes for GPT-2 small, shortened to keys of every kind. */
const GPT2 = {
  activation_function: 'gelu_new',
  architectures: ['GPT2LMHeadModel'],
  attn_pdrop: 0.1,
  bos_token_id: 50256,
  layer_norm_epsilon: 1e-5,
  model_type: 'gpt2',
  n_ctx: 1024,
  n_embd: 768,
  n_head: 12,
  n_layer: 12,
  n_positions: 1024,
  task_specific_params: { 'text-generation': { do_sample: true } },
  vocab_size: 50257,
};

describe('parseModelConfig', () => {
  it('reads the config of GPT-2 small', () => {
    const config = parseModelConfig(GPT2);
    assert.deepEqual(config, {
      family: 'gpt2',
      layers: 12,
      heads: 12,
      width: 768,
      inner: 3072,
      context: 1024,
      vocabulary: 50257,
      normEpsilon: 1e-5,
      tiedHead: true,
    });
    // 124,439,808: the published size of GPT-2 small.
    assert.equal(parameterCount(config), 124_439_808);
  });

  it('takes n_ctx for n_positions, n_inner, and the second name of the activation', () => {
    const { n_positions: _, ...older } = GPT2;
    const config = parseModelConfig({ ...older, n_inner: 100, activation_function: 'gelu_pytorch_tanh' });
    assert.deepEqual([config.context, config.inner], [1024, 100]);
    assert.equal(parseModelConfig({ ...GPT2, n_inner: null }).inner, 3072);
  });

  const refused: [string, unknown][] = [
    ['no object', null],
    ['an array', []],
    ['a text', 'gpt2'],
    ['another family', { ...GPT2, model_type: 'llama' }],
    ['no family', { ...GPT2, model_type: undefined }],
    ['another activation', { ...GPT2, activation_function: 'relu' }],
    ['no layers', { ...GPT2, n_layer: 0 }],
    ['half a layer', { ...GPT2, n_layer: 1.5 }],
    ['layers as a text', { ...GPT2, n_layer: '12' }],
    ['2³¹ hidden units', { ...GPT2, n_embd: 2 ** 31 }],
    ['NaN', { ...GPT2, n_head: Number.NaN }],
    ['heads that do not divide the width', { ...GPT2, n_head: 7 }],
    ['each size allowed, all together too many', { ...GPT2, n_embd: 16_384, n_layer: 128, n_head: 128 }],
    ['two lengths of context', { ...GPT2, n_ctx: 512 }],
    ['a vocabulary beyond the cap', { ...GPT2, vocab_size: 1e9 }],
    ['an inner width of 0', { ...GPT2, n_inner: 0 }],
    ['a negative epsilon', { ...GPT2, layer_norm_epsilon: -1e-5 }],
    ['an epsilon that is a text', { ...GPT2, layer_norm_epsilon: '1e-5' }],
    ['attention scaled by layer', { ...GPT2, scale_attn_by_inverse_layer_idx: true }],
    ['attention not scaled', { ...GPT2, scale_attn_weights: false }],
    ['values inherited, not its own', Object.create(GPT2)],
  ];
  for (const [what, json] of refused) {
    it(`CONFIG_UNSUPPORTED: refuses ${what}`, () => {
      assert.throws(() => parseModelConfig(json), { code: 'CONFIG_UNSUPPORTED' });
    });
  }

  it('keeps messages short whatever came', () => {
    const config = { ...GPT2, model_type: 'x'.repeat(1e6) };
    assert.throws(
      () => parseModelConfig(config),
      (error: Error) => error.message.length < 200,
    );
  });
});

describe('tensorShapes', () => {
  it('names every tensor once, in name order, with shapes that add up', () => {
    const config = parseModelConfig({
      ...GPT2,
      n_layer: 11,
      n_embd: 12,
      n_inner: 20,
      vocab_size: 30,
      n_ctx: 8,
      n_positions: 8,
    });
    const shapes = tensorShapes(config);
    const names = [...shapes.keys()];
    assert.deepEqual(names, [...names].sort());
    assert.equal(names.length, 11 * 12 + 4);
    assert.equal(names[0], 'transformer.h.0.attn.c_attn.bias');
    assert.equal(names.at(-1), 'transformer.wte.weight');
    assert.ok(names.indexOf('transformer.h.10.ln_1.bias') < names.indexOf('transformer.h.2.ln_1.bias'));
    assert.deepEqual(shapes.get('transformer.h.3.attn.c_attn.weight'), [12, 36]);
    assert.deepEqual(shapes.get('transformer.h.3.mlp.c_proj.weight'), [20, 12]);
    assert.deepEqual(shapes.get('transformer.wte.weight'), [30, 12]);
    const total = [...shapes.values()].reduce((sum, shape) => sum + shape.reduce((a, b) => a * b, 1), 0);
    assert.equal(total, parameterCount(config));
  });
});
