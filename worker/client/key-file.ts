import { randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { fromHex, toHex } from '#shared/crypto/bytes.ts';
import { type KeyPair, keyPair } from '#shared/crypto/keys.ts';
import { must, PoolError } from '#shared/errors/pool-error.ts';
import { writeSecretFile } from '#worker/client/secret-file.ts';

/**
 * The secp256k1 key in a file (32 bytes as hex, mode 0600), made if the file is missing. Throws OPTION where
 * the file holds something else, STORE_IO where it cannot be read or written.
 */
export async function loadOrCreateKey(path: string): Promise<KeyPair> {
  const text = await read(path);
  if (text !== undefined) return parse(path, text);
  const key = freshKey();
  await write(path, `${toHex(key.secretKey)}\n`);
  // Of two processes that start at once, one wrote the file: both take what stands there.
  return parse(path, (await read(path)) ?? '');
}

/** The key of a file that must be there: OPTION where it is missing or holds something else, STORE_IO. */
export async function loadKey(path: string): Promise<KeyPair> {
  const text = await read(path);
  must(text !== undefined, 'OPTION', `${path}: expected a key, there is no such file`);
  return parse(path, text);
}

function freshKey(): KeyPair {
  for (;;) {
    try {
      return keyPair(Uint8Array.from(randomBytes(32)));
    } catch {
      // Not below the order of the curve: once in 2^128.
    }
  }
}

function parse(path: string, text: string): KeyPair {
  try {
    return keyPair(fromHex(text.trim(), 32));
  } catch {
    // The cause would quote the file, and with it the secret.
    throw new PoolError('OPTION', `${path}: expected a secp256k1 key of 64 lower-case hex digits`);
  }
}

async function read(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8');
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw ioError(path, cause);
  }
}

async function write(path: string, text: string): Promise<void> {
  try {
    await writeSecretFile(path, text);
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== 'EEXIST') throw ioError(path, cause);
  }
}

function ioError(path: string, cause: unknown): PoolError {
  const code = (cause as NodeJS.ErrnoException).code ?? 'unknown error';
  return new PoolError('STORE_IO', `${path}: cannot be used (${code})`, { path }, { cause });
}
