import { createReadStream } from 'node:fs';
import { mkdir, open, readdir, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { toHex } from '#shared/crypto/bytes.ts';

/** Folders of uploads by parts that are to go on: this and the submission's id. */
const PARTS = 'parts-';
const HASH = /^[0-9a-f]{64}$/;

/**
 * Payloads of submissions that are not on the chain yet: one folder per submission, one file per payload hash. A
 * folder appears whole (written under another name, synced, renamed) or not at all.
 */
export class Spool {
  readonly #dir: string;
  /** Payload hash → submissions that hold it. */
  readonly #holders = new Map<string, Set<string>>();
  #uploads = 0;

  private constructor(dir: string) {
    this.#dir = dir;
  }

  /**
   * Reads what is there; unfinished uploads in one piece, and submissions that `isWanted` refuses, are removed. One
   * that came by parts and was to become a submission when the process ended becomes an upload by parts again.
   */
  static async open(dir: string, isWanted: (submission: string) => boolean): Promise<Spool> {
    await mkdir(dir, { recursive: true });
    const spool = new Spool(dir);
    for (const name of await readdir(dir)) {
      if (name.startsWith(PARTS)) continue;
      const files = HASH.test(name) ? await readdir(join(dir, name)) : [];
      if (HASH.test(name) && isWanted(name))
        for (const hash of files) HASH.test(hash) && spool.#hold(hash, name);
      else if (files.some((file) => !HASH.test(file)))
        await rename(join(dir, name), join(dir, `${PARTS}${name}`));
      else await rm(join(dir, name), { recursive: true, force: true });
    }
    return spool;
  }

  /** A new folder for an upload in one piece. */
  async begin(): Promise<string> {
    return this.#fresh(`upload-${this.#uploads++}`);
  }

  /** A new folder for an upload by parts. */
  async beginParts(submission: Uint8Array): Promise<string> {
    return this.#fresh(`${PARTS}${toHex(submission)}`);
  }

  async #fresh(name: string): Promise<string> {
    const path = join(this.#dir, name);
    await rm(path, { recursive: true, force: true });
    await mkdir(path);
    return path;
  }

  /** Folders of uploads by parts. */
  async parts(): Promise<string[]> {
    const names = await readdir(this.#dir);
    return names.filter((name) => name.startsWith(PARTS)).map((name) => join(this.#dir, name));
  }

  /** The payloads in this folder are those of the submission from now on, durably. */
  async keep(path: string, submission: Uint8Array, hashes: readonly Uint8Array[]): Promise<void> {
    const name = toHex(submission);
    await syncFolder(path);
    await rm(join(this.#dir, name), { recursive: true, force: true });
    await rename(path, join(this.#dir, name));
    await syncFolder(this.#dir);
    for (const hash of hashes) this.#hold(toHex(hash), name);
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

/** Makes the names in a folder durable. */
async function syncFolder(path: string): Promise<void> {
  const handle = await open(path, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
