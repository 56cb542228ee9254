import { must, PoolError } from '#shared/errors/pool-error.ts';

/** The sizes of a GPT-2-family network. Letters in the maths: L layers, H heads, C width, F inner, T context, V vocabulary. */
export interface ModelConfig {
  readonly family: 'gpt2';
  readonly layers: number;
  readonly heads: number;
  readonly width: number;
  readonly inner: number;
  /** The most tokens the network sees at once. */
  readonly context: number;
  readonly vocabulary: number;
  readonly normEpsilon: number;
}

// Caps: above GPT-2 XL in every direction, and far below what would overflow a size or exhaust a machine
// before the first tensor is refused by its own cap.
const MAX_LAYERS = 128;
const MAX_HEADS = 128;
const MAX_WIDTH = 16_384;
const MAX_INNER = 65_536;
const MAX_CONTEXT = 32_768;
const MAX_VOCABULARY = 524_288;
/** 2³¹ parameters: 8 GiB of float32, beyond what a wasm memory or one worker can hold. */
const MAX_PARAMETERS = 2 ** 31;

/** The published names of one curve: x/2·(1 + tanh(√(2/π)·(x + 0.044715·x³))). */
const GELU_NAMES: readonly unknown[] = ['gelu_new', 'gelu_pytorch_tanh'];

/** Switches of GPT-2 variants that change the computation, with the only value this network implements. */
const FIXED_SWITCHES = {
  scale_attn_weights: true,
  scale_attn_by_inverse_layer_idx: false,
  add_cross_attention: false,
  is_encoder_decoder: false,
  tie_word_embeddings: true,
} as const;

/**
 * Reads a Hugging Face `config.json` of `model_type` "gpt2". Keys that do not change the computation
 * (dropout rates, token ids, versions) are passed over; every key that does is checked.
 * Throws CONFIG_UNSUPPORTED before anything is allocated.
 */
export function parseModelConfig(json: unknown): ModelConfig {
  must(isPlainObject(json), 'CONFIG_UNSUPPORTED', `config: expected an object, got ${kindOf(json)}`);
  const type = field(json, 'model_type');
  must(type === 'gpt2', 'CONFIG_UNSUPPORTED', () => `model_type: expected "gpt2", got ${show(type)}`);
  checkSwitches(json);
  const width = whole(json, 'n_embd', MAX_WIDTH);
  const inner = field(json, 'n_inner') ?? null;
  const config: ModelConfig = {
    family: 'gpt2',
    layers: whole(json, 'n_layer', MAX_LAYERS),
    heads: whole(json, 'n_head', MAX_HEADS),
    width,
    inner: inner === null ? 4 * width : whole(json, 'n_inner', MAX_INNER),
    context: contextOf(json),
    vocabulary: whole(json, 'vocab_size', MAX_VOCABULARY),
    normEpsilon: epsilonOf(json),
  };
  const { heads } = config;
  must(
    width % heads === 0,
    'CONFIG_UNSUPPORTED',
    `n_embd: expected a multiple of n_head ${heads}, got ${width}`,
  );
  const parameters = parameterCount(config);
  must(
    parameters <= MAX_PARAMETERS,
    'CONFIG_UNSUPPORTED',
    `config: expected at most ${MAX_PARAMETERS} parameters, got ${parameters}`,
  );
  return config;
}

/** The text of a `config.json` → sizes; CONFIG_UNSUPPORTED also where it is no JSON. */
export function parseConfigText(text: string): ModelConfig {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (cause) {
    throw new PoolError('CONFIG_UNSUPPORTED', 'config: expected JSON', {}, { cause });
  }
  return parseModelConfig(json);
}

/**
 * Every tensor of the model with its shape, in name order (code units). Names and shapes are those of a
 * Hugging Face GPT-2 checkpoint: matrices are [in, out], and the head is tied to `transformer.wte.weight`.
 */
export function tensorShapes(config: ModelConfig): Map<string, number[]> {
  const { layers, width: C, inner: F, context: T, vocabulary: V } = config;
  const shapes: [string, number[]][] = [
    ['transformer.wte.weight', [V, C]],
    ['transformer.wpe.weight', [T, C]],
    ['transformer.ln_f.weight', [C]],
    ['transformer.ln_f.bias', [C]],
  ];
  for (let layer = 0; layer < layers; layer++) {
    for (const [name, shape] of blockShapes(C, F)) shapes.push([`transformer.h.${layer}.${name}`, shape]);
  }
  return new Map(shapes.sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** Number of weights of the whole model; the tied head counts once. */
export function parameterCount(config: ModelConfig): number {
  const { layers, width: C, inner: F, context: T, vocabulary: V } = config;
  const perBlock = 4 * C + C * 3 * C + 3 * C + C * C + C + C * F + F + F * C + C;
  return V * C + T * C + layers * perBlock + 2 * C;
}

function blockShapes(C: number, F: number): [string, number[]][] {
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

function checkSwitches(json: Record<string, unknown>): void {
  const activation = field(json, 'activation_function');
  must(
    GELU_NAMES.includes(activation),
    'CONFIG_UNSUPPORTED',
    () => `activation_function: expected "gelu_new", got ${show(activation)}`,
  );
  for (const [key, only] of Object.entries(FIXED_SWITCHES)) {
    const value = field(json, key) ?? only;
    must(value === only, 'CONFIG_UNSUPPORTED', () => `${key}: expected ${only}, got ${show(value)}`);
  }
}

/** `n_ctx` is an older second name of `n_positions`: either may stand, and both must agree. */
function contextOf(json: Record<string, unknown>): number {
  const key = field(json, 'n_positions') === undefined ? 'n_ctx' : 'n_positions';
  const context = whole(json, key, MAX_CONTEXT);
  const other = field(json, 'n_ctx') ?? context;
  must(
    other === context,
    'CONFIG_UNSUPPORTED',
    () => `n_ctx: expected ${context} as n_positions, got ${show(other)}`,
  );
  return context;
}

function epsilonOf(json: Record<string, unknown>): number {
  const value = field(json, 'layer_norm_epsilon') ?? 1e-5;
  const ok = typeof value === 'number' && Number.isFinite(value) && value > 0 && value <= 0.1;
  must(
    ok,
    'CONFIG_UNSUPPORTED',
    () => `layer_norm_epsilon: expected a number in (0, 0.1], got ${show(value)}`,
  );
  return value;
}

function whole(json: Record<string, unknown>, key: string, max: number): number {
  const value = field(json, key);
  const ok = typeof value === 'number' && Number.isInteger(value) && value >= 1 && value <= max;
  must(ok, 'CONFIG_UNSUPPORTED', () => `${key}: expected a whole number in 1..${max}, got ${show(value)}`);
  return value;
}

/** Own keys only: a config must not inherit a value from `Object.prototype`. */
function field(json: Record<string, unknown>, key: string): unknown {
  return Object.hasOwn(json, key) ? json[key] : undefined;
}

function isPlainObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function kindOf(value: unknown): string {
  if (value === null) return 'null';
  return Array.isArray(value) ? 'an array' : typeof value;
}

/** Foreign text is shown short: a message must not carry a megabyte back. */
function show(value: unknown): string {
  return typeof value === 'object' && value !== null
    ? kindOf(value)
    : String(JSON.stringify(value)).slice(0, 40);
}
