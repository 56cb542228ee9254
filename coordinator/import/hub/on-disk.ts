import { mkdir, statfs } from 'node:fs/promises';
import { ioError } from '#coordinator/store/io-error.ts';
import { must } from '#shared/errors/pool-error.ts';

/** Runs what touches the disk; a refusal of it becomes STORE_IO with what to do. */
export async function onDisk<T>(path: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw ioError(error, `${path} cannot be written`);
  }
}

/** Makes the folder; STORE_IO where its disk has not so many bytes left. */
export async function folderWithRoom(dir: string, bytes: number): Promise<void> {
  await onDisk(dir, () => mkdir(dir, { recursive: true }));
  const { bavail, bsize } = await onDisk(dir, () => statfs(dir));
  must(
    bavail * bsize >= bytes,
    'STORE_IO',
    `${dir}: the download needs ${bytes} bytes, its disk has ${bavail * bsize} left`,
  );
}
