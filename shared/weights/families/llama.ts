import type { LlamaConfig } from '#shared/weights/model-config.ts';

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
