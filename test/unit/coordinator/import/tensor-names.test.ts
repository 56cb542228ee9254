import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { isBuffer, matchTensors } from '#coordinator/import/tensor-names.ts';
import { parseModelConfig, tensorShapes } from '#shared/weights/model-config.ts';

const LLAMA = {
  model_type: 'llama',
  hidden_act: 'silu',
  hidden_size: 8,
  intermediate_size: 12,
  num_hidden_layers: 1,
  num_attention_heads: 2,
  num_key_value_heads: 1,
  max_position_embeddings: 32,
  vocab_size: 20,
  rms_norm_eps: 1e-5,
  tie_word_embeddings: false,
};
const untied = parseModelConfig(LLAMA);
const tied = parseModelConfig({ ...LLAMA, tie_word_embeddings: true });
const of = (config: typeof untied) => [...tensorShapes(config)].map(([name, shape]) => ({ name, shape }));
const HEAD = 'lm_head.weight';

describe('matchTensors', () => {
  it('keeps a head of its own, and hands over one that is stored although it is tied', () => {
    assert.deepEqual(
      [...matchTensors(of(untied), untied).tensors.keys()],
      of(untied).map(({ name }) => name),
    );
    assert.equal(matchTensors(of(untied), untied).tiedHead, null);
    const { tensors, tiedHead } = matchTensors(of(untied), tied);
    assert.ok(!tensors.has(HEAD));
    assert.deepEqual([tiedHead?.head.name, tiedHead?.name], [HEAD, 'model.embed_tokens.weight']);
  });

  it('puts the prefix before the names of the bare model, whose head has none', () => {
    const bare = of(untied).map(({ name, shape }) => ({ name: name.replace('model.', ''), shape }));
    const { tensors } = matchTensors(bare, untied);
    assert.equal(
      tensors.get('model.layers.0.self_attn.q_proj.weight')?.name,
      'layers.0.self_attn.q_proj.weight',
    );
    assert.equal(tensors.get(HEAD)?.name, HEAD);
  });

  it('passes over tables that follow from the configuration, and over nothing else', () => {
    const buffers = [
      ...['h.0.attn.bias', 'transformer.h.11.attn.masked_bias', 'attn.bias'],
      ...['model.layers.0.self_attn.rotary_emb.inv_freq', 'model.rotary_emb.inv_freq'],
    ];
    for (const name of buffers) assert.ok(isBuffer(name), name);
    for (const name of [
      'h.0.attn.c_attn.bias',
      'model.layers.0.self_attn.q_proj.bias',
      'xattn.bias',
      'inv_freq',
    ])
      assert.ok(!isBuffer(name), name);
    const more = buffers.map((name) => ({ name, shape: [1] }));
    assert.equal(matchTensors([...of(tied), ...more], tied).tensors.size, of(tied).length);
  });

  it('WEIGHTS_NAMES: says what may be wrong where only the head is missing', () => {
    assert.throws(() => matchTensors(of(tied), untied), {
      code: 'WEIGHTS_NAMES',
      message: /1 of 12 tensors are missing: lm_head\.weight; tie_word_embeddings may be missing/,
    });
  });

  it('WEIGHTS_NAMES: names some of many, without control characters', () => {
    const foreign = Array.from({ length: 9 }, (_, i) => ({ name: `x\n${i}`, shape: [1] }));
    assert.throws(() => matchTensors([...of(tied), ...foreign], tied), {
      code: 'WEIGHTS_NAMES',
      message: /9 are not of this model: x\?0, x\?1, x\?2, x\?3, x\?4, …$/,
    });
    for (const name of ['__proto__', 'constructor'])
      assert.throws(() => matchTensors([...of(tied), { name, shape: [1] }], tied), { code: 'WEIGHTS_NAMES' });
  });
});
