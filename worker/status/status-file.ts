import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { must, PoolError } from '#shared/errors/pool-error.ts';

const ALONE_MS = 1_000;

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

/** Two workers of one folder have one key, and would take the line from each other for ever. OPTION where one runs. */
export async function mustBeAlone(path: string, ownAddress: string): Promise<void> {
  const url = await readAddress(path).catch(() => undefined);
  if (url === undefined) return;
  const signal = AbortSignal.timeout(ALONE_MS);
  // A worker that was killed leaves its file behind: then nobody answers there, or a worker of another folder.
  const address = await fetch(`${url}/status`, { signal }).then(
    async (response) => ((await response.json()) as { address?: unknown }).address,
    () => undefined,
  );
  must(
    address !== ownAddress,
    'OPTION',
    `a worker runs on this data folder, its status is at ${url}: stop it, or give this one a --data-dir of its own`,
  );
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
