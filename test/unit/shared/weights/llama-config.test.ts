import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  type LlamaConfig,
  parameterCount,
  parseModelConfig,
  tensorShapes,
} from '#shared/weights/model-config.ts';

/** What Hugging Face publishes for Llama 3.1 8B, shortened to keys of every kind; in the older form. */
const LLAMA = {
  architectures: ['LlamaForCausalLM'],
  attention_bias: false,
  attention_dropout: 0.0,
  bos_token_id: 128000,
  hidden_act: 'silu',
  hidden_size: 4096,
  initializer_range: 0.02,
  intermediate_size: 14336,
  max_position_embeddings: 131072,
  mlp_bias: false,
  model_type: 'llama',
  num_attention_heads: 32,
  num_hidden_layers: 32,
  num_key_value_heads: 8,
  pretraining_tp: 1,
  rms_norm_eps: 1e-5,
  rope_scaling: {
    factor: 8.0,
    low_freq_factor: 1.0,
    high_freq_factor: 4.0,
    original_max_position_embeddings: 8192,
    rope_type: 'llama3',
  },
  rope_theta: 500000.0,
  tie_word_embeddings: false,
  torch_dtype: 'bfloat16',
  use_cache: true,
  vocab_size: 128256,
};

const QWEN2 = {
  hidden_size: 896,
  intermediate_size: 4864,
  max_position_embeddings: 32768,
  max_window_layers: 21,
  model_type: 'qwen2',
  num_attention_heads: 14,
  num_hidden_layers: 24,
  num_key_value_heads: 2,
  rms_norm_eps: 1e-6,
  rope_theta: 1000000.0,
  sliding_window: 32768,
  tie_word_embeddings: true,
  use_sliding_window: false,
  vocab_size: 151936,
};

const QWEN3 = { ...QWEN2, model_type: 'qwen3', head_dim: 128, attention_bias: false, layer_types: null };

const MISTRAL = {
  ...LLAMA,
  model_type: 'mistral',
  rope_scaling: null,
  rope_theta: 10000.0,
  vocab_size: 32000,
  max_position_embeddings: 32768,
  sliding_window: 4096,
};

function read(json: object): LlamaConfig {
  const config = parseModelConfig(json);
  assert.ok(config.family !== 'gpt2');
  return config;
}

describe('parseModelConfig: Llama and its relatives', () => {
  it('reads the config of Llama 3.1 8B', () => {
    const config = read(LLAMA);
    assert.deepEqual(config, {
      family: 'llama',
      layers: 32,
      heads: 32,
      kvHeads: 8,
      headDim: 128,
      width: 4096,
      inner: 14336,
      context: 131072,
      vocabulary: 128256,
      normEpsilon: 1e-5,
      tiedHead: false,
      rope: {
        theta: 500000,
        scaling: {
          kind: 'llama3',
          factor: 8,
          lowFrequencyFactor: 1,
          highFrequencyFactor: 4,
          originalContext: 8192,
        },
      },
      biases: { qkv: false, output: false, mlp: false },
      windows: new Array(32).fill(null),
      queryKeyNorm: false,
    });
    assert.equal(parameterCount(config), 8_030_261_248); // the published size
  });

  it('reads the same from the newer form', () => {
    const { rope_scaling, rope_theta, ...rest } = LLAMA;
    assert.deepEqual(read({ ...rest, rope_parameters: { ...rope_scaling, rope_theta } }), read(LLAMA));
    // The original context is the whole one where nothing else is said, and may stand outside.
    const { original_max_position_embeddings: original, ...scaling } = rope_scaling;
    const outside = { ...LLAMA, rope_scaling: scaling, original_max_position_embeddings: original };
    assert.deepEqual(read(outside), read(LLAMA));
    const silent = read({ ...LLAMA, rope_scaling: scaling }).rope.scaling;
    assert.equal(silent.kind === 'llama3' && silent.originalContext, 131072);
  });

  // Sizes as they are published with each model.
  const published: [string, number, object][] = [
    [
      'SmolLM2 135M',
      134_515_008,
      {
        ...LLAMA,
        hidden_size: 576,
        intermediate_size: 1536,
        num_attention_heads: 9,
        num_key_value_heads: 3,
        num_hidden_layers: 30,
        vocab_size: 49152,
        tie_word_embeddings: true,
        rope_interleaved: false,
        rope_scaling: null,
      },
    ],
    [
      'TinyLlama 1.1B',
      1_100_048_384,
      {
        ...LLAMA,
        hidden_size: 2048,
        intermediate_size: 5632,
        num_key_value_heads: 4,
        num_hidden_layers: 22,
        vocab_size: 32000,
        rope_scaling: null,
      },
    ],
    [
      'Llama 3.2 1B',
      1_235_814_400,
      {
        ...LLAMA,
        head_dim: 64,
        hidden_size: 2048,
        intermediate_size: 8192,
        num_hidden_layers: 16,
        tie_word_embeddings: true,
      },
    ],
    ['Mistral 7B', 7_241_732_096, MISTRAL],
    ['Qwen2.5 0.5B', 494_032_768, QWEN2],
    [
      'Qwen3 0.6B',
      596_049_920,
      {
        ...QWEN3,
        hidden_size: 1024,
        intermediate_size: 3072,
        num_attention_heads: 16,
        num_key_value_heads: 8,
        num_hidden_layers: 28,
      },
    ],
  ];
  for (const [name, parameters, json] of published) {
    it(`has all parameters of ${name}`, () => assert.equal(parameterCount(read(json)), parameters));
  }

  it('reads sizes up to 70 B', () => {
    const large = {
      hidden_size: 8192,
      intermediate_size: 28672,
      num_attention_heads: 64,
      num_hidden_layers: 80,
    };
    assert.equal(parameterCount(read({ ...LLAMA, ...large })), 70_553_706_496); // the published size
  });

  it('takes what each family takes for keys that are absent or null', () => {
    const { num_key_value_heads: _, ...silent } = LLAMA;
    assert.equal(read(silent).kvHeads, 32);
    assert.equal(read({ ...silent, model_type: 'mistral', rope_scaling: null }).kvHeads, 8);
    assert.equal(read({ ...LLAMA, model_type: 'mistral', num_key_value_heads: null }).kvHeads, 32);
    assert.equal(read({ ...LLAMA, rope_scaling: {}, rope_theta: undefined }).rope.theta, 10_000);
    assert.equal(read({ ...QWEN3, head_dim: undefined }).headDim, 128);
    assert.equal(read(QWEN2).headDim, 64);
    assert.equal(read({ ...LLAMA, tie_word_embeddings: undefined }).tiedHead, false);
  });

  it('knows the biases of each family', () => {
    const all = { attention_bias: true, mlp_bias: true };
    assert.deepEqual(read({ ...LLAMA, ...all }).biases, { qkv: true, output: true, mlp: true });
    assert.deepEqual(read(QWEN2).biases, { qkv: true, output: false, mlp: false });
    assert.deepEqual(read({ ...QWEN3, attention_bias: true }).biases, {
      qkv: true,
      output: true,
      mlp: false,
    });
    assert.deepEqual(read(MISTRAL).biases, { qkv: false, output: false, mlp: false });
  });

  it('knows the windows of each layer', () => {
    assert.deepEqual(read(MISTRAL).windows, new Array(32).fill(4096));
    assert.deepEqual(read({ ...MISTRAL, sliding_window: null }).windows, new Array(32).fill(null));
    const { sliding_window: _, ...silent } = MISTRAL;
    assert.equal(read(silent).windows[0], 4096);
    assert.deepEqual(read(QWEN2).windows, new Array(24).fill(null));
    const sliding = read({ ...QWEN2, use_sliding_window: true }).windows;
    assert.deepEqual(sliding, [...new Array(21).fill(null), 32768, 32768, 32768]);
    const none = { ...QWEN2, use_sliding_window: true, max_window_layers: 0, sliding_window: 8 };
    assert.deepEqual(read(none).windows, new Array(24).fill(8));
    const types = Array.from({ length: 24 }, (_, i) => (i % 2 ? 'full_attention' : 'sliding_attention'));
    const byType = { ...QWEN3, use_sliding_window: true, sliding_window: 16, layer_types: types };
    assert.deepEqual(read(byType).windows.slice(0, 3), [16, null, 16]);
  });

  it('reads stretched positions', () => {
    const linear = { ...LLAMA, rope_scaling: { type: 'linear', factor: 2 } };
    assert.deepEqual(read(linear).rope, { theta: 500000, scaling: { kind: 'linear', factor: 2 } });
    const plain = { ...LLAMA, rope_scaling: null, rope_parameters: { rope_type: 'default', rope_theta: 7 } };
    assert.deepEqual(read(plain).rope, { theta: 7, scaling: { kind: 'none' } });
  });

  const scaled = (changes: object) => ({ ...LLAMA, rope_scaling: { ...LLAMA.rope_scaling, ...changes } });
  const refused: [string, unknown][] = [
    ['another family', { ...LLAMA, model_type: 'gemma' }],
    ['a family of the prototype', { ...LLAMA, model_type: '__proto__' }],
    ['quantised weights', { ...LLAMA, quantization_config: { quant_method: 'gptq', bits: 4 } }],
    ['another activation', { ...LLAMA, hidden_act: 'gelu' }],
    ['2³¹ hidden units', { ...LLAMA, hidden_size: 2 ** 31 }],
    ['2³¹ layers', { ...LLAMA, num_hidden_layers: 2 ** 31 }],
    ['heads that do not divide the width', { ...LLAMA, num_attention_heads: 24, num_key_value_heads: 8 }],
    ['key heads that do not divide the heads', { ...LLAMA, num_key_value_heads: 5 }],
    ['more key heads than heads', { ...LLAMA, num_key_value_heads: 64 }],
    ['no key heads', { ...LLAMA, num_key_value_heads: 0 }],
    ['heads that cannot be halved', { ...LLAMA, head_dim: 63 }],
    ['a head size beyond the cap', { ...LLAMA, head_dim: 2 ** 20 }],
    ['an epsilon of NaN', { ...LLAMA, rms_norm_eps: Number.NaN }],
    ['a theta of NaN', { ...LLAMA, rope_theta: Number.NaN }],
    ['a theta of 0', { ...LLAMA, rope_theta: 0 }],
    ['an infinite theta', { ...LLAMA, rope_theta: Number.POSITIVE_INFINITY }],
    ['a theta that is a text', { ...LLAMA, rope_theta: '10000' }],
    ['another scaling', scaled({ rope_type: 'yarn' })],
    ['a scaling of no factor', scaled({ factor: undefined })],
    ['a factor of NaN', scaled({ factor: Number.NaN })],
    ['frequencies the wrong way round', scaled({ high_freq_factor: 0.5 })],
    ['an original context of 0', scaled({ original_max_position_embeddings: 0 })],
    ['two original contexts', { ...LLAMA, original_max_position_embeddings: 4096 }],
    ['positions of a part of each head', { ...LLAMA, partial_rotary_factor: 0.5 }],
    ['scaling by kind of layer', { ...LLAMA, rope_scaling: null, rope_parameters: { full_attention: {} } }],
    ['scaling that is a list', { ...LLAMA, rope_scaling: [] }],
    ['a bias that is a text', { ...LLAMA, attention_bias: 'false' }],
    ['kinds of layers in a mistral', { ...MISTRAL, layer_types: new Array(32).fill('full_attention') }],
    ['a window of 0', { ...MISTRAL, sliding_window: 0 }],
    ['too few kinds of layers', { ...QWEN3, layer_types: ['full_attention'] }],
    ['an unknown kind of layer', { ...QWEN3, layer_types: new Array(24).fill('linear_attention') }],
    ['windows of no size', { ...QWEN3, layer_types: new Array(24).fill('sliding_attention') }],
    ['values inherited, not its own', Object.create(LLAMA)],
    ['each size allowed, all together too many', { ...LLAMA, hidden_size: 65_536, num_hidden_layers: 256 }],
  ];
  for (const [what, json] of refused) {
    it(`CONFIG_UNSUPPORTED: refuses ${what}`, () => {
      assert.throws(() => parseModelConfig(json), { code: 'CONFIG_UNSUPPORTED' });
    });
  }

  it('names what is supported', () => {
    assert.throws(
      () => parseModelConfig({ model_type: 'gemma' }),
      /gpt2, llama, mistral, qwen2, qwen3, got "gemma"/,
    );
    assert.throws(
      () => parseModelConfig(scaled({ rope_type: 'yarn' })),
      /default, linear, llama3, got "yarn"/,
    );
  });

  it('is not led astray by keys of the prototype', () => {
    const json: unknown = JSON.parse(
      JSON.stringify(LLAMA).replace('{', '{"__proto__": {"hidden_act": "relu", "rope_theta": 1},'),
    );
    assert.deepEqual(parseModelConfig(json), parseModelConfig(LLAMA));
  });
});

describe('tensorShapes: Llama and its relatives', () => {
  const small = { num_hidden_layers: 1, hidden_size: 12, intermediate_size: 20, vocab_size: 30 };
  const heads = { num_attention_heads: 3, num_key_value_heads: 1, head_dim: 6 };

  it('names the tensors of a checkpoint', () => {
    assert.deepEqual(
      [...tensorShapes(read({ ...QWEN3, ...small, ...heads, tie_word_embeddings: false }))],
      [
        ['lm_head.weight', [30, 12]],
        ['model.embed_tokens.weight', [30, 12]],
        ['model.layers.0.input_layernorm.weight', [12]],
        ['model.layers.0.mlp.down_proj.weight', [12, 20]],
        ['model.layers.0.mlp.gate_proj.weight', [20, 12]],
        ['model.layers.0.mlp.up_proj.weight', [20, 12]],
        ['model.layers.0.post_attention_layernorm.weight', [12]],
        ['model.layers.0.self_attn.k_norm.weight', [6]],
        ['model.layers.0.self_attn.k_proj.weight', [6, 12]],
        ['model.layers.0.self_attn.o_proj.weight', [12, 18]],
        ['model.layers.0.self_attn.q_norm.weight', [6]],
        ['model.layers.0.self_attn.q_proj.weight', [18, 12]],
        ['model.layers.0.self_attn.v_proj.weight', [6, 12]],
        ['model.norm.weight', [12]],
      ],
    );
  });

  it('has no head of its own where it is tied', () => {
    const names = [...tensorShapes(read({ ...QWEN2, ...small, ...heads })).keys()];
    assert.ok(!names.includes('lm_head.weight'));
    assert.ok(names.includes('model.layers.0.self_attn.q_proj.bias'));
    assert.ok(!names.includes('model.layers.0.self_attn.o_proj.bias'));
  });
});
