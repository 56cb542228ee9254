import { readFile, stat } from 'node:fs/promises';
import { must, PoolError } from '#shared/errors/pool-error.ts';

/** Configurations and templates are some kilobytes. */
export const MAX_SMALL_TEXT_BYTES = 1024 * 1024;
/** The largest published tokenizers (256k tokens) are about 35 MB. */
export const MAX_TOKENIZER_BYTES = 64 * 1024 * 1024;

/** The text of a file of at most `maxBytes`; `null` where there is none. CHECKPOINT where it is no UTF-8 text. */
export async function readTextFile(path: string, maxBytes: number): Promise<string | null> {
  try {
    return await readText(path, { maxBytes, code: 'CHECKPOINT' });
  } catch (error) {
    if (isMissing(error)) return null;
    throw error;
  }
}

/** The text that an option names; OPTION where it cannot be read, is no UTF-8 or has more bytes. */
export function readOptionFile(path: string, maxBytes: number): Promise<string> {
  return readText(path, { maxBytes, code: 'OPTION' });
}

async function readText(
  path: string,
  { maxBytes, code }: { maxBytes: number; code: 'CHECKPOINT' | 'OPTION' },
): Promise<string> {
  try {
    const info = await stat(path);
    // A pipe or a device may never end.
    must(info.isFile(), code, `${path}: expected a file`);
    must(info.size <= maxBytes, code, `${path}: expected at most ${maxBytes} bytes, got ${info.size}`);
    // A byte order mark would stand in the chain's texts, and is no JSON.
    return new TextDecoder('utf-8', { fatal: true }).decode(await readFile(path));
  } catch (cause) {
    if (cause instanceof PoolError) throw cause;
    const { code: why } = cause as NodeJS.ErrnoException;
    const what = why === 'ERR_ENCODING_INVALID_ENCODED_DATA' ? 'is not UTF-8' : `cannot be read (${why})`;
    throw new PoolError(code, `${path} ${what}`, {}, { cause });
  }
}

const isMissing = (error: unknown): boolean =>
  ((error as Error).cause as NodeJS.ErrnoException | undefined)?.code === 'ENOENT';

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
