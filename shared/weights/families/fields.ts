import { must } from '#shared/errors/pool-error.ts';

/*
 * Reads single keys of a stranger's `config.json`. Every function throws CONFIG_UNSUPPORTED that names the key,
 * what is expected and what came.
 */

/**
 * The largest sizes that are read: above the published models of the families in every direction, and far below
 * what would overflow a size.
 */
export const LIMITS = {
  layers: 256,
  heads: 256,
  headDim: 1024,
  width: 65_536,
  inner: 262_144,
  context: 4_194_304,
  vocabulary: 1_048_576,
} as const;

/** Own keys only: a config must not inherit a value from `Object.prototype`. */
export function field(json: object, key: string): unknown {
  return Object.hasOwn(json, key) ? (json as Record<string, unknown>)[key] : undefined;
}

/** A whole number in 1..max; `otherwise` where the key is absent or null. */
export function wholeField(json: object, key: string, max: number, otherwise?: number): number {
  const value = field(json, key) ?? otherwise;
  const ok = typeof value === 'number' && Number.isInteger(value) && value >= 1 && value <= max;
  must(ok, 'CONFIG_UNSUPPORTED', () => `${key}: expected a whole number in 1..${max}, got ${show(value)}`);
  return value;
}

/** A key that must be absent or null. */
export function absentField(json: object, key: string): void {
  const value = field(json, key) ?? null;
  must(value === null, 'CONFIG_UNSUPPORTED', () => `${key}: expected none, got ${show(value)}`);
}

/** A number above 0 and at most `max`; `otherwise` where the key is absent or null. */
export function positiveField(json: object, key: string, max: number, otherwise?: number): number {
  const value = field(json, key) ?? otherwise;
  const ok = typeof value === 'number' && value > 0 && value <= max;
  must(ok, 'CONFIG_UNSUPPORTED', () => `${key}: expected a number in (0, ${max}], got ${show(value)}`);
  return value;
}

/** The small number that keeps a norm from dividing by 0. */
export function epsilonField(json: object, key: string, otherwise: number): number {
  return positiveField(json, key, 0.1, otherwise);
}

export function flagField(json: object, key: string, otherwise: boolean): boolean {
  const value = field(json, key) ?? otherwise;
  must(
    typeof value === 'boolean',
    'CONFIG_UNSUPPORTED',
    () => `${key}: expected true or false, got ${show(value)}`,
  );
  return value;
}

/** A switch that changes the computation, with the only value that is implemented; absent or null mean it too. */
export function onlyValue(json: object, key: string, only: boolean | string | number): void {
  const value = field(json, key) ?? only;
  must(
    value === only,
    'CONFIG_UNSUPPORTED',
    () => `${key}: expected ${JSON.stringify(only)}, got ${show(value)}`,
  );
}

export function isPlainObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Foreign text is shown short: a message must not carry a megabyte back. */
export function show(value: unknown): string {
  if (value === null || typeof value !== 'object') return String(JSON.stringify(value)).slice(0, 40);
  return Array.isArray(value) ? 'an array' : 'an object';
}
