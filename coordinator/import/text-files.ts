import { readFile, stat } from 'node:fs/promises';
import { must, PoolError } from '#shared/errors/pool-error.ts';

/** Configurations and templates are some kilobytes. */
export const MAX_SMALL_TEXT_BYTES = 1024 * 1024;
/** The largest published tokenizers (256k tokens) are about 35 MB. */
export const MAX_TOKENIZER_BYTES = 64 * 1024 * 1024;

/** The text of a file of at most `maxBytes`; `null` where there is none. CHECKPOINT where it is no UTF-8 text. */
export async function readTextFile(path: string, maxBytes: number): Promise<string | null> {
  try {
    const { size } = await stat(path);
    must(size <= maxBytes, 'CHECKPOINT', `${path}: expected at most ${maxBytes} bytes, got ${size}`);
    // A byte order mark would stand in the chain's texts, and is no JSON.
    return new TextDecoder('utf-8', { fatal: true }).decode(await readFile(path));
  } catch (cause) {
    if (cause instanceof PoolError) throw cause;
    const { code } = cause as NodeJS.ErrnoException;
    if (code === 'ENOENT') return null;
    const what = code === 'ERR_ENCODING_INVALID_ENCODED_DATA' ? 'is not UTF-8' : `cannot be read (${code})`;
    throw new PoolError('CHECKPOINT', `${path} ${what}`, {}, { cause });
  }
}

/** An object of JSON, or CHECKPOINT. */
export function parseJsonObject(text: string, what: string): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new PoolError('CHECKPOINT', `${what}: expected JSON`, {}, { cause });
  }
  must(
    typeof value === 'object' && value !== null && !Array.isArray(value),
    'CHECKPOINT',
    `${what}: expected a JSON object`,
  );
  return value as Record<string, unknown>;
}

/** An own key of a foreign object: it inherits nothing. */
export function ownField(object: Readonly<Record<string, unknown>>, key: string): unknown {
  return Object.hasOwn(object, key) ? object[key] : undefined;
}
