import { readFile } from 'node:fs/promises';
import { fromHex } from '#shared/crypto/bytes.ts';
import { type KeyPair, keyPair } from '#shared/crypto/keys.ts';
import { PoolError } from '#shared/errors/pool-error.ts';
import { writeSecretFile } from '#worker/client/secret-file.ts';
import { decryptKeystore, isKeystore } from '#worker/wallet/keystore.ts';

/**
 * The key in a file: a keystore, for which `password` is asked, or a bare key as workers make it (64 hex digits).
 * OPTION where there is no such file, KEYSTORE, PASSWORD.
 */
export async function readWallet(path: string, password: () => Promise<string>): Promise<KeyPair> {
  const text = await readFile(path, 'utf8').catch((cause: NodeJS.ErrnoException) => {
    const why =
      cause.code === 'ENOENT'
        ? 'does not exist; make one with `aiblock wallet new`'
        : `cannot be read (${cause.code})`;
    throw new PoolError('OPTION', `wallet: ${path} ${why}`, { path }, { cause });
  });
  if (isKeystore(text)) return decryptKeystore(text, await password());
  try {
    return keyPair(fromHex(text.trim(), 32));
  } catch {
    // The cause would quote the secret.
    throw new PoolError('KEYSTORE', `${path}: expected a keystore, or a key of 64 lower-case hex digits`);
  }
}

/** Writes a new file that only its owner can read; a file that exists is never replaced: OPTION. */
export async function writeNewWallet(path: string, text: string): Promise<void> {
  try {
    await writeSecretFile(path, text);
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    const why = code === 'EEXIST' ? 'exists; a wallet is never overwritten' : `cannot be written (${code})`;
    throw new PoolError('OPTION', `wallet: ${path} ${why}`, { path }, { cause });
  }
}
