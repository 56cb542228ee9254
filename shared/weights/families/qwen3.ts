import { flagField, onlyValue } from '#shared/weights/families/fields.ts';
import { parseDecoder } from '#shared/weights/families/llama.ts';
import { DEFAULT_KV_HEADS, parseWindows } from '#shared/weights/families/qwen2.ts';
import type { LlamaConfig } from '#shared/weights/model-config.ts';

/** Whatever the width. */
const DEFAULT_HEAD_DIM = 128;

/** A `config.json` of `model_type` "qwen3": norms on queries and keys, biases where the attention asks for them. */
export function parseQwen3(json: object): LlamaConfig {
  onlyValue(json, 'mlp_bias', false);
  const bias = flagField(json, 'attention_bias', false);
  return {
    family: 'qwen3',
    ...parseDecoder(json, { kvHeads: DEFAULT_KV_HEADS, headDim: DEFAULT_HEAD_DIM }),
    biases: { qkv: bias, output: bias, mlp: false },
    windows: parseWindows(json),
    queryKeyNorm: true,
  };
}
