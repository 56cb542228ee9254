import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { PoolError } from '#shared/errors/pool-error.ts';

/** Where a running worker leaves the address of its status page. */
export function statusFile(dataDir: string): string {
  return join(dataDir, 'worker', 'status.json');
}

export async function writeAddress(path: string, url: string): Promise<void> {
  try {
    await mkdir(dirname(path), { recursive: true });
    await writeFile(`${path}.new`, `${JSON.stringify({ url })}\n`);
    await rename(`${path}.new`, path);
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    throw new PoolError('STORE_IO', `${path}: cannot be written (${code})`, { path }, { cause });
  }
}

/** UNAVAILABLE where no worker of this folder runs, or it has no status page. */
export async function readAddress(path: string): Promise<string> {
  try {
    const { url } = JSON.parse(await readFile(path, 'utf8')) as { url: unknown };
    if (typeof url === 'string' && /^http:\/\/127\.0\.0\.1:[0-9]+$/.test(url)) return url;
  } catch {
    // Said below.
  }
  throw new PoolError(
    'UNAVAILABLE',
    `no worker runs on this data folder: ${path} does not tell where its status is; start it with \`aiblock worker\``,
    { path },
  );
}
