import { must, PoolError } from '#shared/errors/pool-error.ts';
import { absentField, field, isPlainObject, onlyValue, show } from '#shared/weights/families/fields.ts';
import { gpt2Shapes, parseGpt2 } from '#shared/weights/families/gpt2.ts';
import { llamaShapes, parseLlama } from '#shared/weights/families/llama.ts';
import { parseMistral } from '#shared/weights/families/mistral.ts';
import { parseQwen2 } from '#shared/weights/families/qwen2.ts';
import { parseQwen3 } from '#shared/weights/families/qwen3.ts';

/** What every family has. Letters in the maths: L layers, H heads, C width, F inner, T context, V vocabulary. */
interface CommonConfig {
  readonly layers: number;
  readonly heads: number;
  readonly width: number;
  readonly inner: number;
  /** The most tokens the network sees at once. */
  readonly context: number;
  readonly vocabulary: number;
  readonly normEpsilon: number;
  /** The head is the token embedding; else it is a matrix of its own. */
  readonly tiedHead: boolean;
}

export interface Gpt2Config extends CommonConfig {
  readonly family: 'gpt2';
}

/** How the angles of rotary positions are stretched beyond the context of the pre-training. */
export type RopeScaling =
  | { readonly kind: 'none' }
  | { readonly kind: 'linear'; readonly factor: number }
  | {
      readonly kind: 'llama3';
      readonly factor: number;
      readonly lowFrequencyFactor: number;
      readonly highFrequencyFactor: number;
      readonly originalContext: number;
    };

/** Llama (Touvron et al. 2023) and the families that differ from it in a few switches. */
export interface LlamaConfig extends CommonConfig {
  readonly family: 'llama' | 'mistral' | 'qwen2' | 'qwen3';
  /** K: heads of keys and values; H/K heads of queries share one. */
  readonly kvHeads: number;
  /** D: values of one head, of whatever width. */
  readonly headDim: number;
  readonly rope: { readonly theta: number; readonly scaling: RopeScaling };
  /** Which matrices have a bias: queries, keys and values; the attention's output; gate, up and down. */
  readonly biases: { readonly qkv: boolean; readonly output: boolean; readonly mlp: boolean };
  /** By layer: a token sees itself and window − 1 before; null: all before. */
  readonly windows: readonly (number | null)[];
  /** Queries and keys are normed head by head. */
  readonly queryKeyNorm: boolean;
}

export type ModelConfig = Gpt2Config | LlamaConfig;

/** 2³⁷ parameters: above the largest dense models of these families, and a size that a pool's disks can hold. */
const MAX_PARAMETERS = 2 ** 37;

type Parse = (json: object) => ModelConfig;

const PARSERS: ReadonlyMap<unknown, Parse> = new Map<unknown, Parse>([
  ['gpt2', parseGpt2],
  ['llama', parseLlama],
  ['mistral', parseMistral],
  ['qwen2', parseQwen2],
  ['qwen3', parseQwen3],
]);

/**
 * Reads a Hugging Face `config.json`. Keys that do not change the computation (dropout rates, token ids,
 * versions) are passed over; every key that does is checked. Throws CONFIG_UNSUPPORTED before anything is
 * allocated.
 */
export function parseModelConfig(json: unknown): ModelConfig {
  must(isPlainObject(json), 'CONFIG_UNSUPPORTED', () => `config: expected an object, got ${show(json)}`);
  const type = field(json, 'model_type');
  const parse = PARSERS.get(type);
  must(
    parse,
    'CONFIG_UNSUPPORTED',
    () => `model_type: expected one of ${[...PARSERS.keys()].join(', ')}, got ${show(type)}`,
  );
  onlyValue(json, 'is_encoder_decoder', false);
  absentField(json, 'quantization_config');
  const config = parse(json);
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
 * Hugging Face checkpoint of the family; a tied head is no tensor of its own.
 */
export function tensorShapes(config: ModelConfig): Map<string, number[]> {
  const shapes = config.family === 'gpt2' ? gpt2Shapes(config) : llamaShapes(config);
  return new Map(shapes.sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** Number of weights of the whole model; a tied head counts once. */
export function parameterCount(config: ModelConfig): number {
  return [...tensorShapes(config).values()].reduce(
    (total, shape) => total + shape.reduce((product, n) => product * n, 1),
    0,
  );
}
