import { must } from '#shared/errors/pool-error.ts';

/** The key-value part of a GGUF file. What is missing or of another type is refused with CHECKPOINT by its key. */
export class Metadata {
  readonly #values: ReadonlyMap<string, unknown>;
  readonly #path: string;

  constructor(entries: readonly (readonly [string, unknown])[], path: string) {
    this.#values = new Map(entries);
    this.#path = path;
  }

  has(key: string): boolean {
    return this.#values.has(key);
  }

  text(key: string, fallback?: string): string {
    return this.#get(key, fallback, 'a text', (value) => typeof value === 'string');
  }

  flag(key: string, fallback: boolean): boolean {
    return this.#get(key, fallback, 'a truth value', (value) => typeof value === 'boolean');
  }

  /** A finite number; 64-bit integers come as such as long as they are exact. */
  number(key: string, fallback?: number): number {
    const value = this.#values.get(key) ?? fallback;
    const number = typeof value === 'bigint' ? Number(value) : value;
    const ok =
      typeof number === 'number' &&
      Number.isFinite(number) &&
      (typeof value !== 'bigint' || Number.isSafeInteger(number));
    must(ok, 'CHECKPOINT', () => `${this.#path}: ${key}: expected a number, got ${show(value)}`);
    return number;
  }

  texts(key: string): readonly string[] {
    return this.#list(key, 'texts', (value) => typeof value === 'string');
  }

  numbers(key: string): readonly number[] {
    return this.#list(key, 'numbers', (value) => typeof value === 'number');
  }

  #list<T>(key: string, what: string, fits: (value: unknown) => boolean): readonly T[] {
    return this.#get<readonly T[]>(
      key,
      undefined,
      `a list of ${what}`,
      (value) => Array.isArray(value) && value.every(fits),
    );
  }

  #get<T>(key: string, fallback: T | undefined, what: string, fits: (value: unknown) => boolean): T {
    const value = this.#values.get(key) ?? fallback;
    must(
      value !== undefined && fits(value),
      'CHECKPOINT',
      () => `${this.#path}: ${key}: expected ${what}, got ${show(value)}`,
    );
    return value as T;
  }
}

function show(value: unknown): string {
  if (value === undefined) return 'nothing';
  return Array.isArray(value) ? 'a list' : JSON.stringify(String(value).slice(0, 60));
}
