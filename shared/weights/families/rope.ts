import { must } from '#shared/errors/pool-error.ts';
import {
  field,
  isPlainObject,
  LIMITS,
  onlyValue,
  positiveField,
  show,
  wholeField,
} from '#shared/weights/families/fields.ts';
import type { RopeScaling } from '#shared/weights/model-config.ts';

const MAX_THETA = 1e12;
const MAX_FACTOR = 1e6;
const SUPPORTED = ['default', 'linear', 'llama3'];

/**
 * Rotary positions from `rope_parameters` as well as from the older `rope_theta` and `rope_scaling`, which stands
 * above it as in transformers.
 */
export function parseRope(json: object, context: number): { theta: number; scaling: RopeScaling } {
  const rope = ropeObject(json, 'rope_scaling') ?? ropeObject(json, 'rope_parameters') ?? {};
  for (const [key, value] of Object.entries(rope)) {
    const flat = typeof value !== 'object' || value === null;
    must(
      flat,
      'CONFIG_UNSUPPORTED',
      () => `rope_parameters.${key.slice(0, 40)}: expected no object, got one`,
    );
  }
  for (const where of [json, rope]) onlyValue(where, 'partial_rotary_factor', 1);
  const outer = positiveField(json, 'rope_theta', MAX_THETA, 10_000);
  return {
    theta: positiveField(rope, 'rope_theta', MAX_THETA, outer),
    scaling: parseScaling(json, rope, context),
  };
}

/** Undefined where it is absent, null or empty: all mean that nothing is asked for. */
function ropeObject(json: object, key: string): object | undefined {
  const value = field(json, key) ?? {};
  must(isPlainObject(value), 'CONFIG_UNSUPPORTED', () => `${key}: expected an object, got ${show(value)}`);
  return Object.keys(value).length === 0 ? undefined : value;
}

function parseScaling(json: object, rope: object, context: number): RopeScaling {
  const kind = field(rope, 'rope_type') ?? field(rope, 'type') ?? 'default';
  if (kind === 'default') return { kind: 'none' };
  if (kind === 'linear') return { kind, factor: positiveField(rope, 'factor', MAX_FACTOR) };
  must(
    kind === 'llama3',
    'CONFIG_UNSUPPORTED',
    () => `rope_type: expected one of ${SUPPORTED.join(', ')}, got ${show(kind)}`,
  );
  const lowFrequencyFactor = positiveField(rope, 'low_freq_factor', MAX_FACTOR);
  const highFrequencyFactor = positiveField(rope, 'high_freq_factor', MAX_FACTOR);
  must(
    lowFrequencyFactor < highFrequencyFactor,
    'CONFIG_UNSUPPORTED',
    `high_freq_factor: expected more than low_freq_factor ${lowFrequencyFactor}, got ${highFrequencyFactor}`,
  );
  const factor = positiveField(rope, 'factor', MAX_FACTOR);
  return {
    kind,
    factor,
    lowFrequencyFactor,
    highFrequencyFactor,
    originalContext: original(json, rope, context),
  };
}

/** Some checkpoints have it beside the other keys; both must agree. */
function original(json: object, rope: object, context: number): number {
  const key = 'original_max_position_embeddings';
  const inner = wholeField(rope, key, LIMITS.context, context);
  const outer = wholeField(json, key, LIMITS.context, inner);
  must(
    inner === outer || field(rope, key) === undefined,
    'CONFIG_UNSUPPORTED',
    `${key}: expected one number, got ${inner} and ${outer}`,
  );
  return outer;
}
