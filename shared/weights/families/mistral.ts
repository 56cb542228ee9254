import { absentField, field, LIMITS, onlyValue, wholeField } from '#shared/weights/families/fields.ts';
import { layersOf, parseDecoder, windowless } from '#shared/weights/families/llama.ts';
import type { LlamaConfig } from '#shared/weights/model-config.ts';

const DEFAULT_WINDOW = 4096;
const DEFAULT_KV_HEADS = 8;

/** A `config.json` of `model_type` "mistral": no biases, one window for all layers, or none where it is null. */
export function parseMistral(json: object): LlamaConfig {
  onlyValue(json, 'attention_bias', false);
  onlyValue(json, 'mlp_bias', false);
  absentField(json, 'layer_types');
  const none = field(json, 'sliding_window') === null;
  const window = wholeField(json, 'sliding_window', LIMITS.context, DEFAULT_WINDOW);
  return {
    family: 'mistral',
    ...parseDecoder(json, { kvHeads: DEFAULT_KV_HEADS }),
    biases: { qkv: false, output: false, mlp: false },
    windows: none ? windowless(json) : new Array<number>(layersOf(json)).fill(window),
    queryKeyNorm: false,
  };
}
