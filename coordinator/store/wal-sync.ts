import { type FileHandle, open, readdir } from 'node:fs/promises';
import { join } from 'node:path';

interface WalSource {
  currentWalFile(): Promise<{ readonly path: string; readonly number: number }>;
}

/**
 * Puts RocksDB's write-ahead log on the disk. The binding never syncs it, but every finished write has
 * reached the file, so fdatasync of the log files makes all finished writes durable. A file that is gone has
 * become a table, which RocksDB syncs before it deletes the log.
 */
export class WalSync {
  readonly #dir: string;
  readonly #source: WalSource;
  #current: { readonly number: number; readonly file: FileHandle } | undefined;

  constructor(dir: string, source: WalSource) {
    this.#dir = dir;
    this.#source = source;
  }

  async sync(): Promise<void> {
    const { number, path } = await this.#source.currentWalFile();
    if (this.#current?.number !== number) await this.#rotate(number, path);
    await this.#current?.file.datasync();
  }

  async close(): Promise<void> {
    await this.#current?.file.close();
    this.#current = undefined;
  }

  /** The log may have rotated more than once since the last sync: sync every file from there to here. */
  async #rotate(number: number, path: string): Promise<void> {
    const from = this.#current?.number ?? 0;
    await this.close();
    for (const name of await readdir(this.#dir)) {
      const older = Number(/^(\d+)\.log$/.exec(name)?.[1] ?? Number.NaN);
      if (older >= from && older < number) await syncFile(join(this.#dir, name));
    }
    this.#current = { number, file: await open(join(this.#dir, path), 'r+') };
    await syncFile(this.#dir); // the new file's entry in its folder
  }
}

async function syncFile(path: string): Promise<void> {
  let file: FileHandle;
  try {
    file = await open(path, 'r');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return;
    throw error;
  }
  try {
    await file.sync();
  } finally {
    await file.close();
  }
}
