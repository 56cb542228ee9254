import type { Metadata } from '#coordinator/import/gguf/metadata.ts';
import type { GgufHeader } from '#coordinator/import/gguf/read-header.ts';
import { ARCHITECTURES, type Architecture } from '#coordinator/import/gguf/tensor-names.ts';
import { must } from '#shared/errors/pool-error.ts';

/** Classes of transformers by `model_type`. */
const CLASSES: Readonly<Record<string, string>> = {
  gpt2: 'GPT2LMHeadModel',
  llama: 'LlamaForCausalLM',
  mistral: 'MistralForCausalLM',
  qwen2: 'Qwen2ForCausalLM',
  qwen3: 'Qwen3ForCausalLM',
};
const DTYPES = { F32: 'float32', F16: 'float16', BF16: 'bfloat16' } as const;

/** CONFIG_UNSUPPORTED by name for every other network. */
export function architectureOf(metadata: Metadata): Architecture {
  const name = metadata.text('general.architecture');
  must(
    (ARCHITECTURES as readonly string[]).includes(name),
    'CONFIG_UNSUPPORTED',
    `general.architecture: expected one of ${ARCHITECTURES.join(', ')}, got ${JSON.stringify(name.slice(0, 60))}`,
  );
  return name as Architecture;
}

/**
 * The `config.json` that transformers would have written. `tied`: whether the head is the embeddings;
 * `ropeFactors`: the file's table of stretched frequencies, if it has one.
 */
export function configOf(
  { metadata, tensors }: GgufHeader,
  { tied, ropeFactors }: { tied: boolean; ropeFactors: Float32Array | null },
): Record<string, unknown> {
  const architecture = architectureOf(metadata);
  const embeddings = tensors.find(({ name }) => name === 'token_embd.weight');
  must(embeddings, 'WEIGHTS_NAMES', 'the file has no token_embd.weight');
  const [vocabulary] = embeddings.shape;
  const common = {
    tie_word_embeddings: tied,
    vocab_size: vocabulary,
    ...specialIds(metadata),
    torch_dtype: DTYPES[embeddings.type.dtype],
    use_cache: true,
  };
  if (architecture === 'gpt2') return { ...gpt2(metadata), ...common };
  const has = (name: string) => tensors.some((tensor) => tensor.name === name);
  return { ...llama(architecture, metadata, { has, ropeFactors }), ...common };
}

function gpt2(metadata: Metadata): Record<string, unknown> {
  return {
    architectures: [CLASSES.gpt2],
    model_type: 'gpt2',
    activation_function: 'gelu_new',
    n_positions: metadata.number('gpt2.context_length'),
    n_embd: metadata.number('gpt2.embedding_length'),
    n_inner: metadata.number('gpt2.feed_forward_length'),
    n_layer: metadata.number('gpt2.block_count'),
    n_head: metadata.number('gpt2.attention.head_count'),
    layer_norm_epsilon: metadata.number('gpt2.attention.layer_norm_epsilon', 1e-5),
  };
}

function llama(
  architecture: Architecture,
  metadata: Metadata,
  { has, ropeFactors }: { has: (name: string) => boolean; ropeFactors: Float32Array | null },
): Record<string, unknown> {
  const number = (key: string, fallback?: number) => metadata.number(`${architecture}.${key}`, fallback);
  const heads = number('attention.head_count');
  const width = number('embedding_length');
  const headDim = number('attention.key_length', width / heads);
  const window = number('attention.sliding_window', 0);
  // Mistral's files say "llama"; only the window tells them apart.
  const type = architecture === 'llama' && window > 0 ? 'mistral' : architecture;
  const theta = number('rope.freq_base', 10_000);
  const rotated = number('rope.dimension_count', headDim);
  must(
    rotated === headDim && number('attention.value_length', headDim) === headDim,
    'CONFIG_UNSUPPORTED',
    `${architecture}.rope.dimension_count: expected ${headDim}, all of a head, got ${rotated}`,
  );
  must(
    number('expert_count', 0) === 0,
    'CONFIG_UNSUPPORTED',
    `${architecture}.expert_count: mixtures of experts are not supported`,
  );
  const ropeScaling = scalingOf(architecture, metadata, { ropeFactors, theta, headDim });
  return {
    architectures: [CLASSES[type]],
    model_type: type,
    hidden_act: 'silu',
    hidden_size: width,
    intermediate_size: number('feed_forward_length'),
    num_hidden_layers: number('block_count'),
    num_attention_heads: heads,
    num_key_value_heads: number('attention.head_count_kv', heads),
    head_dim: headDim,
    max_position_embeddings: number('context_length'),
    rms_norm_eps: rounded(number('attention.layer_norm_rms_epsilon')),
    rope_theta: rounded(theta),
    ...(ropeScaling && { rope_scaling: ropeScaling }),
    ...(type === 'llama' && {
      attention_bias: has('blk.0.attn_q.bias'),
      mlp_bias: has('blk.0.ffn_gate.bias'),
    }),
    ...(type === 'qwen3' && { attention_bias: has('blk.0.attn_q.bias') }),
    ...(type === 'mistral' && { sliding_window: window }),
  };
}

/** The file has float32, the configuration a decimal: 0.000009999999747378752 was 0.00001. */
function rounded(value: number): number {
  const short = Number(value.toPrecision(7));
  return Math.fround(short) === Math.fround(value) ? short : value;
}

interface Rope {
  readonly ropeFactors: Float32Array | null;
  readonly theta: number;
  readonly headDim: number;
}

function scalingOf(
  architecture: Architecture,
  metadata: Metadata,
  rope: Rope,
): Record<string, unknown> | null {
  const key = `${architecture}.rope.scaling.type`;
  const type = metadata.text(key, 'none');
  if (type === 'linear') {
    const factor = rounded(metadata.number(`${architecture}.rope.scaling.factor`));
    return { type: 'linear', rope_type: 'linear', factor };
  }
  must(
    type === 'none',
    'CONFIG_UNSUPPORTED',
    `${key}: expected none or linear, got ${JSON.stringify(type.slice(0, 40))}`,
  );
  return rope.ropeFactors && llama3Scaling(rope.ropeFactors, rope);
}

/** As every Llama 3.x has them: the file keeps only the factor per frequency that follows from them. */
const LLAMA3 = { low: 1, high: 4, context: 8192 } as const;

function llama3Scaling(factors: Float32Array, { theta, headDim }: Rope): Record<string, unknown> | null {
  const factor = rounded(factors.reduce((most, value) => Math.max(most, value), 1));
  if (factor === 1) return null;
  const expected = Float64Array.from({ length: headDim / 2 }, (_, i) => {
    const turns = LLAMA3.context / (2 * Math.PI * theta ** ((2 * i) / headDim));
    if (turns > LLAMA3.high) return 1;
    if (turns < LLAMA3.low) return factor;
    const smooth = (turns - LLAMA3.low) / (LLAMA3.high - LLAMA3.low);
    return 1 / ((1 - smooth) / factor + smooth);
  });
  const same =
    factors.length === expected.length &&
    expected.every((value, i) => Math.abs(value - (factors[i] as number)) <= 1e-4 * value);
  must(
    same,
    'CONFIG_UNSUPPORTED',
    `rope_freqs.weight: expected the frequencies of Llama 3.x for a factor of ${factor}`,
  );
  return {
    rope_type: 'llama3',
    factor,
    low_freq_factor: LLAMA3.low,
    high_freq_factor: LLAMA3.high,
    original_max_position_embeddings: LLAMA3.context,
  };
}

/** Token ids that begin and end a text, as far as the file names them. */
export function specialIds(metadata: Metadata): Record<string, number> {
  const ids: Record<string, number> = {};
  for (const [name, key] of [
    ['bos_token_id', 'tokenizer.ggml.bos_token_id'],
    ['eos_token_id', 'tokenizer.ggml.eos_token_id'],
  ] as const)
    if (metadata.has(key)) ids[name] = metadata.number(key);
  return ids;
}
