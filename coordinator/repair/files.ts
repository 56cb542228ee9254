import { copyFile, mkdir, open, readdir, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { must, PoolError } from '#shared/errors/pool-error.ts';

/** Copies a file, and makes the folder that it goes to. */
export async function copyInto(from: string, to: string): Promise<void> {
  await mkdir(dirname(to), { recursive: true, mode: 0o700 });
  await copyFile(from, to);
}

/** OPTION unless the folder is new or empty. */
export async function mustBeEmpty(dir: string): Promise<void> {
  const found = await readdir(dir).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return [];
    throw new PoolError('OPTION', `${dir} cannot be used: ${error.code}`, {}, { cause: error });
  });
  must(found.length === 0, 'OPTION', `${dir} is not empty: expected a new folder`);
}

export function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}

/** Puts files and folders below `dir`, and its own name, on the disk. */
export async function syncTree(dir: string): Promise<void> {
  for (const entry of await readdir(dir, { recursive: true, withFileTypes: true }))
    await sync(join(entry.parentPath, entry.name));
  await sync(dir);
  await sync(dirname(dir));
}

async function sync(path: string): Promise<void> {
  const file = await open(path, 'r');
  try {
    await file.sync();
  } finally {
    await file.close();
  }
}
