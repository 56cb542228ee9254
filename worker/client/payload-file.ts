import { createHash } from 'node:crypto';
import { type FileHandle, open } from 'node:fs/promises';
import { PoolError } from '#shared/errors/pool-error.ts';

/** Bytes hashed at once. */
const PIECE_BYTES = 1024 * 1024;

/** A payload's file, held open: it can be read even when its name is gone from the cache. */
export class PayloadFile {
  readonly path: string;
  readonly bytes: number;
  /** Tells whether this is still the file that was looked at before. */
  readonly stamp: string;
  readonly #handle: FileHandle;

  private constructor(path: string, handle: FileHandle, found: { size: number; stamp: string }) {
    this.path = path;
    this.bytes = found.size;
    this.stamp = found.stamp;
    this.#handle = handle;
  }

  /** `undefined` where there is no such file. */
  static async open(path: string): Promise<PayloadFile | undefined> {
    const handle = await open(path, 'r').catch((cause: NodeJS.ErrnoException) => {
      if (cause.code === 'ENOENT') return undefined;
      throw new PoolError('STORE_IO', `${path}: cannot be read (${cause.code})`, {}, { cause });
    });
    if (handle === undefined) return undefined;
    const { ino, size, mtimeMs } = await handle.stat();
    return new PayloadFile(path, handle, { size, stamp: `${ino}:${size}:${mtimeMs}` });
  }

  /** Fills `into` with the bytes from `at` on. STORE_IO where the file has fewer. */
  async read(into: Uint8Array, at: number): Promise<void> {
    for (let filled = 0; filled < into.length; ) {
      const { bytesRead } = await this.#handle.read(into, filled, into.length - filled, at + filled);
      if (bytesRead === 0)
        throw new PoolError('STORE_IO', `${this.path}: ends before byte ${at + into.length}`);
      filled += bytesRead;
    }
  }

  /** SHA-256 of all of it, hex. */
  async hash(): Promise<string> {
    const digest = createHash('sha256');
    const piece = new Uint8Array(Math.min(PIECE_BYTES, this.bytes));
    for (let at = 0; at < this.bytes; at += piece.length) {
      const part = piece.subarray(0, Math.min(piece.length, this.bytes - at));
      await this.read(part, at);
      digest.update(part);
    }
    return digest.digest('hex');
  }

  async close(): Promise<void> {
    await this.#handle.close();
  }
}
