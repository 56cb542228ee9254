import { type FileHandle, open } from 'node:fs/promises';
import { must, PoolError } from '#shared/errors/pool-error.ts';

/** Bytes read at once: as much as a chunk of the payload store. */
const PIECE_BYTES = 1024 * 1024;

/** A file of which ranges are read, in constant memory. */
export class WeightsFile {
  readonly path: string;
  readonly size: number;
  readonly #handle: FileHandle;

  private constructor(path: string, size: number, handle: FileHandle) {
    this.path = path;
    this.size = size;
    this.#handle = handle;
  }

  /** CHECKPOINT where there is no such file. */
  static async open(path: string): Promise<WeightsFile> {
    try {
      const handle = await open(path, 'r');
      const info = await handle.stat();
      if (info.isFile()) return new WeightsFile(path, info.size, handle);
      await handle.close();
    } catch (cause) {
      const { code } = cause as NodeJS.ErrnoException;
      throw new PoolError('CHECKPOINT', `${path} cannot be read (${code})`, {}, { cause });
    }
    throw new PoolError('CHECKPOINT', `${path}: expected a file`);
  }

  /** The bytes from `start` up to, and without, `end`, in new pieces. WEIGHTS_TRUNCATED where the file ends before. */
  async *read(start: number, end: number): AsyncGenerator<Uint8Array> {
    for (let at = start; at < end; ) {
      const length = Math.min(PIECE_BYTES, end - at);
      const piece = await this.#readAt(at, length);
      must(
        piece.length === length,
        'WEIGHTS_TRUNCATED',
        `${this.path} ends at byte ${at + piece.length}, expected ${end - at - piece.length} more`,
      );
      yield piece;
      at += piece.length;
    }
  }

  async close(): Promise<void> {
    await this.#handle.close();
  }

  /** Shorter only where the file ends. */
  async #readAt(position: number, length: number): Promise<Uint8Array> {
    const buffer = new Uint8Array(length);
    let filled = 0;
    try {
      while (filled < length) {
        const { bytesRead } = await this.#handle.read(buffer, filled, length - filled, position + filled);
        if (bytesRead === 0) break;
        filled += bytesRead;
      }
      return buffer.subarray(0, filled);
    } catch (cause) {
      const { code } = cause as NodeJS.ErrnoException;
      throw new PoolError('STORE_IO', `${this.path} cannot be read (${code})`, {}, { cause });
    }
  }
}
