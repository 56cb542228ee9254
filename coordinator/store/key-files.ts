import { randomBytes } from 'node:crypto';
import { chmod, mkdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fromHex, toHex } from '#shared/crypto/bytes.ts';
import { type KeyPair, keyPair } from '#shared/crypto/keys.ts';
import { PoolError } from '#shared/errors/pool-error.ts';

/** Secrets of a pool, one hex file each in `<data>/keys`, readable by its owner alone. */
export type SecretName = 'governor' | 'pool' | 'salts';

const pathOf = (dataDir: string, name: SecretName) => join(dataDir, 'keys', name);
/** Lies beside the keys folder, where worker and miner of the same machine find it. */
const tokenPath = (dataDir: string) => join(dataDir, 'worker-token');

/** Never overwrites: a key that is there stays. */
export async function writeSecret(dataDir: string, name: SecretName, secret: Uint8Array): Promise<void> {
  await writeOnce(pathOf(dataDir, name), toHex(secret));
}

export async function readSecret(dataDir: string, name: SecretName): Promise<Uint8Array> {
  const path = pathOf(dataDir, name);
  return fromHex((await readText(path)).trim(), 32, path);
}

export function newKeyPair(): KeyPair {
  for (;;) {
    try {
      return keyPair(new Uint8Array(randomBytes(32)));
    } catch {
      // One in 2¹²⁸ is not below the order of the curve.
    }
  }
}

/** The enrolment token of workers, made at the first call. */
export async function workerToken(dataDir: string): Promise<string> {
  await writeOnce(tokenPath(dataDir), randomBytes(24).toString('hex'));
  return (await readText(tokenPath(dataDir))).trim();
}

async function writeOnce(path: string, text: string): Promise<void> {
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  await writeFile(path, `${text}\n`, { flag: 'wx', mode: 0o600 }).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'EEXIST')
      throw new PoolError('STORE_IO', `${path} cannot be written: ${error.code}`, {}, { cause: error });
  });
  await chmod(path, 0o600);
}

async function readText(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    throw new PoolError(
      'STORE_IO',
      `${path} cannot be read: ${(error as NodeJS.ErrnoException).code}`,
      {},
      { cause: error },
    );
  }
}
