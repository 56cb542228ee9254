import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { fromHex } from '#shared/crypto/bytes.ts';
import { addressOf, keyPair } from '#shared/crypto/keys.ts';
import { type Finding, findings } from '#worker/doctor/finding.ts';

/** The worker's key. It is looked at and never made. */
export async function checkKey(dataDir: string): Promise<Finding> {
  const { fine, fault } = findings('key');
  const path = join(dataDir, 'worker', 'key');
  const file = await stat(path).catch((error: NodeJS.ErrnoException) => error);
  if (file instanceof Error) {
    if (file.code !== 'ENOENT')
      return fault(`${path}: cannot be read (${file.code})`, `make it yours: chown $USER ${path}`);
    return fine('none yet: the first start makes one, and enrols it with the token');
  }
  if ((file.mode & 0o077) !== 0) return fault(`${path}: others can read it`, `chmod 600 ${path}`);
  try {
    const { publicKey } = keyPair(fromHex((await readFile(path, 'utf8')).trim(), 32));
    return fine(`${addressOf(publicKey)} in ${path}`);
  } catch {
    return fault(
      `${path}: holds no key`,
      'bring it back from a copy, or remove it and enrol anew with a token',
    );
  }
}
