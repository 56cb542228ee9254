import { createReadStream } from 'node:fs';
import { mkdir, open, readdir, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { toHex } from '#shared/crypto/bytes.ts';

/**
 * Payloads of submissions that are not on the chain yet: one folder per submission, one file per payload hash. A
 * folder appears whole (written under a temporary name, synced, renamed) or not at all.
 */
export class Spool {
  readonly #dir: string;
  /** Payload hash → submissions that hold it. */
  readonly #holders = new Map<string, Set<string>>();
  #uploads = 0;

  private constructor(dir: string) {
    this.#dir = dir;
  }

  /** Reads what is there; unfinished uploads, and submissions that `isWanted` refuses, are removed. */
  static async open(dir: string, isWanted: (submission: string) => boolean): Promise<Spool> {
    await mkdir(dir, { recursive: true });
    const spool = new Spool(dir);
    for (const name of await readdir(dir)) {
      if (!/^[0-9a-f]{64}$/.test(name) || !isWanted(name)) {
        await rm(join(dir, name), { recursive: true, force: true });
        continue;
      }
      for (const hash of await readdir(join(dir, name))) spool.#hold(hash, name);
    }
    return spool;
  }

  /** A new folder for an upload whose files `write` fills. */
  async begin(): Promise<SpoolUpload> {
    const path = join(this.#dir, `upload-${this.#uploads++}`);
    await mkdir(path, { recursive: true });
    return {
      path,
      discard: () => rm(path, { recursive: true, force: true }),
      keep: async (submission, hashes) => {
        const name = toHex(submission);
        await syncFolder(path);
        await rm(join(this.#dir, name), { recursive: true, force: true });
        await rename(path, join(this.#dir, name));
        await syncFolder(this.#dir);
        for (const hash of hashes) this.#hold(toHex(hash), name);
      },
    };
  }

  has(hash: Uint8Array): boolean {
    return this.#holders.has(toHex(hash));
  }

  async size(hash: Uint8Array): Promise<number> {
    return (await stat(this.#path(hash))).size;
  }

  read(hash: Uint8Array, range: { start?: number; end?: number } = {}): AsyncIterable<Uint8Array> {
    const { start = 0, end } = range;
    return createReadStream(this.#path(hash), { start, ...(end === undefined ? {} : { end: end - 1 }) });
  }

  async drop(submission: Uint8Array): Promise<void> {
    const name = toHex(submission);
    for (const [hash, holders] of this.#holders) {
      holders.delete(name);
      if (holders.size === 0) this.#holders.delete(hash);
    }
    await rm(join(this.#dir, name), { recursive: true, force: true });
  }

  #hold(hash: string, submission: string): void {
    const holders = this.#holders.get(hash) ?? new Set();
    this.#holders.set(hash, holders.add(submission));
  }

  #path(hash: Uint8Array): string {
    const [holder] = this.#holders.get(toHex(hash)) ?? [];
    return join(this.#dir, holder ?? 'none', toHex(hash));
  }
}

export interface SpoolUpload {
  readonly path: string;
  discard(): Promise<void>;
  keep(submission: Uint8Array, hashes: readonly Uint8Array[]): Promise<void>;
}

/** Makes the names in a folder durable. */
async function syncFolder(path: string): Promise<void> {
  const handle = await open(path, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
