import { must } from '#shared/errors/pool-error.ts';
import { field, flagField, LIMITS, onlyValue, show, wholeField } from '#shared/weights/families/fields.ts';
import { layersOf, parseDecoder } from '#shared/weights/families/llama.ts';
import type { LlamaConfig } from '#shared/weights/model-config.ts';

const DEFAULT_WINDOW = 4096;
const DEFAULT_FULL_LAYERS = 28;
export const DEFAULT_KV_HEADS = 32;

/** A `config.json` of `model_type` "qwen2": biases on queries, keys and values, windows in the upper layers. */
export function parseQwen2(json: object): LlamaConfig {
  onlyValue(json, 'mlp_bias', false);
  return {
    family: 'qwen2',
    ...parseDecoder(json, { kvHeads: DEFAULT_KV_HEADS }),
    biases: { qkv: true, output: false, mlp: false },
    windows: parseWindows(json),
    queryKeyNorm: false,
  };
}

/** By layer, from `layer_types`; where that is absent, layers from `max_window_layers` on have the window. */
export function parseWindows(json: object): (number | null)[] {
  const layers = layersOf(json);
  const window = windowOf(json);
  const types = field(json, 'layer_types') ?? null;
  if (types !== null) return windowsByType(types, layers, window);
  const full =
    field(json, 'max_window_layers') === 0
      ? 0
      : wholeField(json, 'max_window_layers', LIMITS.layers, DEFAULT_FULL_LAYERS);
  return Array.from({ length: layers }, (_, layer) => (layer >= full ? window : null));
}

function windowOf(json: object): number | null {
  if (!flagField(json, 'use_sliding_window', false)) return null;
  if (field(json, 'sliding_window') === null) return null;
  return wholeField(json, 'sliding_window', LIMITS.context, DEFAULT_WINDOW);
}

function windowsByType(types: unknown, layers: number, window: number | null): (number | null)[] {
  must(
    Array.isArray(types) && types.length === layers,
    'CONFIG_UNSUPPORTED',
    () => `layer_types: expected a list of ${layers}, got ${show(types)}`,
  );
  return types.map((type: unknown, layer) => {
    if (type === 'full_attention') return null;
    must(
      type === 'sliding_attention' && window !== null,
      'CONFIG_UNSUPPORTED',
      () =>
        `layer_types[${layer}]: expected "full_attention"${window === null ? '' : ' or "sliding_attention"'}, got ${show(type)}`,
    );
    return window;
  });
}
