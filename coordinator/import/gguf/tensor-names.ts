import type { Layout } from '#coordinator/import/gguf/tensor-bytes.ts';

/** Architectures of GGUF whose networks the pool can build. */
export const ARCHITECTURES = ['gpt2', 'llama', 'qwen2', 'qwen3'] as const;
export type Architecture = (typeof ARCHITECTURES)[number];

/** Llama 3's stretched frequencies: they go into the configuration. */
export const ROPE_FACTORS = 'rope_freqs.weight';

// Name in the file → name in the state dict of transformers; `#` is the layer.
const GPT2_NAMES: Readonly<Record<string, string>> = {
  'token_embd.weight': 'transformer.wte.weight',
  'position_embd.weight': 'transformer.wpe.weight',
  'output_norm.weight': 'transformer.ln_f.weight',
  'output_norm.bias': 'transformer.ln_f.bias',
  'output.weight': 'lm_head.weight',
  ...both('attn_norm', 'transformer.h.#.ln_1'),
  ...both('attn_qkv', 'transformer.h.#.attn.c_attn'),
  ...both('attn_output', 'transformer.h.#.attn.c_proj'),
  ...both('ffn_norm', 'transformer.h.#.ln_2'),
  ...both('ffn_up', 'transformer.h.#.mlp.c_fc'),
  ...both('ffn_down', 'transformer.h.#.mlp.c_proj'),
};
const LLAMA_NAMES: Readonly<Record<string, string>> = {
  'token_embd.weight': 'model.embed_tokens.weight',
  'output_norm.weight': 'model.norm.weight',
  'output.weight': 'lm_head.weight',
  ...both('attn_norm', 'model.layers.#.input_layernorm'),
  ...both('attn_q', 'model.layers.#.self_attn.q_proj'),
  ...both('attn_k', 'model.layers.#.self_attn.k_proj'),
  ...both('attn_v', 'model.layers.#.self_attn.v_proj'),
  ...both('attn_output', 'model.layers.#.self_attn.o_proj'),
  ...both('attn_q_norm', 'model.layers.#.self_attn.q_norm'),
  ...both('attn_k_norm', 'model.layers.#.self_attn.k_norm'),
  ...both('ffn_norm', 'model.layers.#.post_attention_layernorm'),
  ...both('ffn_gate', 'model.layers.#.mlp.gate_proj'),
  ...both('ffn_up', 'model.layers.#.mlp.up_proj'),
  ...both('ffn_down', 'model.layers.#.mlp.down_proj'),
};
/** GPT-2 keeps these input by output, GGUF output by input. */
const TRANSPOSED = /\.(attn_qkv|attn_output|ffn_up|ffn_down)\.weight$/;

function both(from: string, to: string): Record<string, string> {
  return { [`blk.#.${from}.weight`]: `${to}.weight`, [`blk.#.${from}.bias`]: `${to}.bias` };
}

/** The name that transformers has for a tensor; an unknown one stays as it is, to be refused by it. */
export function stateDictName(name: string, architecture: Architecture): string {
  const [, layer] = /^blk\.(0|[1-9]\d{0,3})\./.exec(name) ?? [];
  const names = architecture === 'gpt2' ? GPT2_NAMES : LLAMA_NAMES;
  const key = layer === undefined ? name : name.replace(`blk.${layer}.`, 'blk.#.');
  return Object.hasOwn(names, key) ? (names[key] as string).replace('#', layer ?? '') : name;
}

/** What the file did to this tensor. Of Llama's queries and keys it pairs the rows that are rotated together. */
export function layoutOf(
  name: string,
  { architecture, heads, kvHeads }: { architecture: Architecture; heads: number; kvHeads: number },
): Layout {
  if (architecture === 'gpt2') return { kind: TRANSPOSED.test(name) ? 'transposed' : 'same' };
  if (architecture !== 'llama') return { kind: 'same' };
  if (/\.attn_q\.(weight|bias)$/.test(name)) return { kind: 'interleaved', heads };
  if (/\.attn_k\.(weight|bias)$/.test(name)) return { kind: 'interleaved', heads: kvHeads };
  return { kind: 'same' };
}
