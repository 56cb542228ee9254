import { mkdir, open } from 'node:fs/promises';
import { dirname } from 'node:path';

/** Writes a new file that only its owner can read, durably. Rejects with EEXIST where there is one: none is replaced. */
export async function writeSecretFile(path: string, text: string): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  const file = await open(path, 'wx', 0o600);
  try {
    await file.writeFile(text);
    await file.sync();
  } finally {
    await file.close();
  }
}
