import { must } from '#shared/errors/pool-error.ts';
import {
  epsilonField,
  field,
  flagField,
  LIMITS,
  onlyValue,
  show,
  wholeField,
} from '#shared/weights/families/fields.ts';
import type { Gpt2Config } from '#shared/weights/model-config.ts';

/** The published names of one curve: x/2·(1 + tanh(√(2/π)·(x + 0.044715·x³))). */
const GELU_NAMES: readonly unknown[] = ['gelu_new', 'gelu_pytorch_tanh', 'gelu_fast'];

/** A `config.json` of `model_type` "gpt2". */
export function parseGpt2(json: object): Gpt2Config {
  const activation = field(json, 'activation_function') ?? 'gelu_new';
  must(
    GELU_NAMES.includes(activation),
    'CONFIG_UNSUPPORTED',
    () => `activation_function: expected "gelu_new" or "gelu_pytorch_tanh", got ${show(activation)}`,
  );
  onlyValue(json, 'scale_attn_weights', true);
  onlyValue(json, 'scale_attn_by_inverse_layer_idx', false);
  onlyValue(json, 'add_cross_attention', false);
  const width = wholeField(json, 'n_embd', LIMITS.width);
  const heads = wholeField(json, 'n_head', LIMITS.heads);
  must(
    width % heads === 0,
    'CONFIG_UNSUPPORTED',
    `n_embd: expected a multiple of n_head ${heads}, got ${width}`,
  );
  return {
    family: 'gpt2',
    layers: wholeField(json, 'n_layer', LIMITS.layers),
    heads,
    width,
    inner: wholeField(json, 'n_inner', LIMITS.inner, 4 * width),
    context: contextOf(json),
    vocabulary: wholeField(json, 'vocab_size', LIMITS.vocabulary),
    normEpsilon: epsilonField(json, 'layer_norm_epsilon', 1e-5),
    tiedHead: flagField(json, 'tie_word_embeddings', true),
  };
}

/** `n_ctx` is an older second name of `n_positions`: either may stand, and both must agree. */
function contextOf(json: object): number {
  const key = field(json, 'n_positions') === undefined ? 'n_ctx' : 'n_positions';
  const context = wholeField(json, key, LIMITS.context);
  const other = field(json, 'n_ctx') ?? context;
  must(
    other === context,
    'CONFIG_UNSUPPORTED',
    () => `n_ctx: expected ${context} as n_positions, got ${show(other)}`,
  );
  return context;
}

/** Tensors of a GPT2LMHeadModel; matrices of blocks are [in, out]. */
export function gpt2Shapes(config: Gpt2Config): [string, number[]][] {
  const { layers, width: C, context: T, vocabulary: V } = config;
  const shapes: [string, number[]][] = [
    ['transformer.wte.weight', [V, C]],
    ['transformer.wpe.weight', [T, C]],
    ['transformer.ln_f.weight', [C]],
    ['transformer.ln_f.bias', [C]],
  ];
  if (!config.tiedHead) shapes.push(['lm_head.weight', [V, C]]);
  for (let layer = 0; layer < layers; layer++) {
    for (const [name, shape] of gpt2BlockShapes(config))
      shapes.push([`transformer.h.${layer}.${name}`, shape]);
  }
  return shapes;
}

/** Tensors of one block, by their names within it. */
export function gpt2BlockShapes({ width: C, inner: F }: Gpt2Config): [string, number[]][] {
  return [
    ['ln_1.weight', [C]],
    ['ln_1.bias', [C]],
    ['attn.c_attn.weight', [C, 3 * C]],
    ['attn.c_attn.bias', [3 * C]],
    ['attn.c_proj.weight', [C, C]],
    ['attn.c_proj.bias', [C]],
    ['ln_2.weight', [C]],
    ['ln_2.bias', [C]],
    ['mlp.c_fc.weight', [C, F]],
    ['mlp.c_fc.bias', [F]],
    ['mlp.c_proj.weight', [F, C]],
    ['mlp.c_proj.bias', [C]],
  ];
}
