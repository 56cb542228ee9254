import { must } from '#shared/errors/pool-error.ts';
import { epsilonField, field, flagField, LIMITS, show, wholeField } from '#shared/weights/families/fields.ts';
import { parseRope } from '#shared/weights/families/rope.ts';
import type { LlamaConfig } from '#shared/weights/model-config.ts';

const SILU_NAMES: readonly unknown[] = ['silu', 'swish'];

/** A `config.json` of `model_type` "llama". */
export function parseLlama(json: object): LlamaConfig {
  const attention = flagField(json, 'attention_bias', false);
  const heads = wholeField(json, 'num_attention_heads', LIMITS.heads);
  return {
    family: 'llama',
    ...parseDecoder(json, { kvHeads: heads }),
    biases: { qkv: attention, output: attention, mlp: flagField(json, 'mlp_bias', false) },
    windows: windowless(json),
    queryKeyNorm: false,
  };
}

/** What a family takes for keys that are absent: null for a head of width / heads. */
interface Defaults {
  readonly kvHeads: number;
  readonly headDim?: number;
}

/** The keys that Llama and its relatives read alike. */
export function parseDecoder(
  json: object,
  defaults: Defaults,
): Omit<LlamaConfig, 'family' | 'biases' | 'windows' | 'queryKeyNorm'> {
  const activation = field(json, 'hidden_act') ?? 'silu';
  must(
    SILU_NAMES.includes(activation),
    'CONFIG_UNSUPPORTED',
    () => `hidden_act: expected "silu", got ${show(activation)}`,
  );
  const context = wholeField(json, 'max_position_embeddings', LIMITS.context);
  return {
    ...parseHeads(json, defaults),
    layers: layersOf(json),
    inner: wholeField(json, 'intermediate_size', LIMITS.inner),
    context,
    vocabulary: wholeField(json, 'vocab_size', LIMITS.vocabulary),
    normEpsilon: epsilonField(json, 'rms_norm_eps', 1e-6),
    tiedHead: flagField(json, 'tie_word_embeddings', false),
    rope: parseRope(json, context),
  };
}

export function layersOf(json: object): number {
  return wholeField(json, 'num_hidden_layers', LIMITS.layers);
}

/** No window in any layer. */
export function windowless(json: object): null[] {
  return new Array<null>(layersOf(json)).fill(null);
}

function parseHeads(
  json: object,
  defaults: Defaults,
): Pick<LlamaConfig, 'width' | 'heads' | 'kvHeads' | 'headDim'> {
  const width = wholeField(json, 'hidden_size', LIMITS.width);
  const heads = wholeField(json, 'num_attention_heads', LIMITS.heads);
  // Absent means what the family has by default, null means as many as there are heads.
  const absent = field(json, 'num_key_value_heads') === undefined;
  const kvHeads = wholeField(json, 'num_key_value_heads', LIMITS.heads, absent ? defaults.kvHeads : heads);
  must(
    heads % kvHeads === 0,
    'CONFIG_UNSUPPORTED',
    `num_key_value_heads: expected a divisor of ${heads}, got ${kvHeads}`,
  );
  const headDim = wholeField(json, 'head_dim', LIMITS.headDim, defaults.headDim ?? width / heads);
  must(
    headDim % 2 === 0,
    'CONFIG_UNSUPPORTED',
    `head_dim: expected an even number, whose halves are turned against each other, got ${headDim}`,
  );
  return { width, heads, kvHeads, headDim };
}

/** Tensors of a LlamaForCausalLM and its relatives; matrices are [out, in]. */
export function llamaShapes(config: LlamaConfig): [string, number[]][] {
  const { layers, width: C, vocabulary: V } = config;
  const shapes: [string, number[]][] = [
    ['model.embed_tokens.weight', [V, C]],
    ['model.norm.weight', [C]],
  ];
  if (!config.tiedHead) shapes.push(['lm_head.weight', [V, C]]);
  for (let layer = 0; layer < layers; layer++) {
    for (const [name, shape] of llamaBlockShapes(config))
      shapes.push([`model.layers.${layer}.${name}`, shape]);
  }
  return shapes;
}

/** Tensors of one block, by their names within it. */
export function llamaBlockShapes(config: LlamaConfig): [string, number[]][] {
  const { width: C, inner: F, biases, headDim: D } = config;
  const [queries, keys] = [config.heads * D, config.kvHeads * D];
  const matrix = (name: string, shape: [number, number], bias: boolean): [string, number[]][] => [
    [`${name}.weight`, shape],
    ...(bias ? [[`${name}.bias`, [shape[0]]] as [string, number[]]] : []),
  ];
  return [
    ['input_layernorm.weight', [C]],
    ...matrix('self_attn.q_proj', [queries, C], biases.qkv),
    ...matrix('self_attn.k_proj', [keys, C], biases.qkv),
    ...matrix('self_attn.v_proj', [keys, C], biases.qkv),
    ...matrix('self_attn.o_proj', [C, queries], biases.output),
    ...(config.queryKeyNorm ? norms(D) : []),
    ['post_attention_layernorm.weight', [C]],
    ...matrix('mlp.gate_proj', [F, C], biases.mlp),
    ...matrix('mlp.up_proj', [F, C], biases.mlp),
    ...matrix('mlp.down_proj', [C, F], biases.mlp),
  ];
}

function norms(D: number): [string, number[]][] {
  return [
    ['self_attn.q_norm.weight', [D]],
    ['self_attn.k_norm.weight', [D]],
  ];
}
