import { type FileHandle, open } from 'node:fs/promises';
import type { HashThread, StreamHash } from '#coordinator/submission/hash-thread.ts';
import { toHex } from '#shared/crypto/bytes.ts';
import { must } from '#shared/errors/pool-error.ts';
import { DTYPE_BYTES, firstNonFinite } from '#shared/weights/dtype.ts';
import type { TensorRef } from '#shared/weights/model-root.ts';

/** Checked, hashed and written at once: few system calls and messages, and whole elements of any dtype. */
const BLOCK_BYTES = 1024 * 1024;
/** Blocks that are hashed and written while the next one fills. */
const MAX_BUSY_BLOCKS = 3;
/** The disk is kept busy from here on, so that little is left to sync at the end. */
const SYNC_BYTES = 256 * 1024 * 1024;

export interface TensorTarget {
  readonly tensor: TensorRef;
  readonly bytes: number;
  /** Where its bytes go; null where they are only checked. */
  readonly file: string | null;
  /** The file has its first bytes, which are given once more to be checked; else it begins empty. */
  readonly again: boolean;
}

/**
 * Takes one tensor as its bytes come: checks that every value is finite, hashes, and writes. Holds a few blocks in
 * memory, whatever the size of the tensor.
 */
export class TensorReceiver {
  readonly #target: TensorTarget;
  readonly #handle: FileHandle | null;
  readonly #hash: StreamHash;
  readonly #busy = new Set<Promise<void>>();
  /** To be filled again: new blocks would cost as much as the hash, in pages that the system clears. */
  readonly #spare: Uint8Array[] = [];
  #syncing: Promise<void> | undefined;
  #failure: unknown;
  #block: Uint8Array;
  #filled = 0;
  /** Bytes of the blocks before this one. */
  #before = 0;

  private constructor(target: TensorTarget, parts: { handle: FileHandle | null; hash: StreamHash }) {
    this.#target = target;
    this.#handle = parts.handle;
    this.#hash = parts.hash;
    this.#block = this.#nextBlock();
  }

  static async open(target: TensorTarget, thread: HashThread): Promise<TensorReceiver> {
    const handle = target.file === null ? null : await open(target.file, target.again ? 'r+' : 'w');
    return new TensorReceiver(target, { handle, hash: thread.open() });
  }

  /** Takes a piece, of no more bytes than are missing; there is nothing to wait for most of the time. */
  take(piece: Uint8Array): Promise<void> | undefined {
    const room = this.#block.length - this.#filled;
    const part = piece.length <= room ? piece : piece.subarray(0, room);
    this.#block.set(part, this.#filled);
    this.#filled += part.length;
    return this.#filled < this.#block.length ? undefined : this.#takeOn(piece.subarray(part.length));
  }

  async #takeOn(rest: Uint8Array): Promise<void> {
    this.#passOn(this.#block);
    this.#before += this.#block.length;
    this.#filled = 0;
    while (this.#busy.size >= MAX_BUSY_BLOCKS) await Promise.race(this.#busy);
    this.#throwFailure();
    this.#block = this.#nextBlock();
    if (this.#before % SYNC_BYTES === 0) this.#syncBehind();
    if (rest.length > 0) await this.take(rest);
  }

  /** Makes everything taken so far durable. A block that is not full is written again when it is. */
  async flush(): Promise<void> {
    if (this.#filled > 0) await this.#write(this.#block.subarray(0, this.#filled));
    await Promise.all([...this.#busy, this.#syncing]);
    this.#throwFailure();
    await this.#handle?.datasync();
  }

  /** All bytes are there: WEIGHTS_HASH where they are not those that were signed. Durable when it resolves. */
  async finish(): Promise<void> {
    const { name, payloadHash } = this.#target.tensor;
    const [hash, signed] = [await this.#hash.digest(), toHex(payloadHash)];
    must(hash === signed, 'WEIGHTS_HASH', () => `${name}: expected bytes of hash ${signed}, got ${hash}`);
    await this.flush();
  }

  async close(): Promise<void> {
    await Promise.allSettled([...this.#busy, this.#syncing, this.#hash.drop()]);
    await this.#handle?.close();
  }

  #nextBlock(): Uint8Array {
    const bytes = Math.min(BLOCK_BYTES, this.#target.bytes - this.#before);
    return this.#spare.pop()?.subarray(0, bytes) ?? new Uint8Array(new SharedArrayBuffer(bytes));
  }

  /** Checks a whole block, and has it hashed and written. */
  #passOn(block: Uint8Array): void {
    const { dtype, name } = this.#target.tensor;
    const bad = firstNonFinite(dtype, block);
    must(
      bad < 0,
      'WEIGHTS_NOT_FINITE',
      () => `${name}: element ${this.#before / DTYPE_BYTES[dtype] + bad} is NaN or infinite`,
    );
    const busy = Promise.all([this.#hash.update(block), this.#write(block)])
      .then(() => void this.#spare.push(block))
      .catch((error: unknown) => this.#fail(error))
      .finally(() => this.#busy.delete(busy));
    this.#busy.add(busy);
  }

  async #write(block: Uint8Array): Promise<void> {
    const start = this.#before;
    for (let at = 0; this.#handle && at < block.length; )
      at += (await this.#handle.write(block, at, block.length - at, start + at)).bytesWritten;
  }

  #syncBehind(): void {
    this.#syncing ??= this.#handle
      ?.datasync()
      .catch((error: unknown) => this.#fail(error))
      .finally(() => {
        this.#syncing = undefined;
      });
  }

  #fail(error: unknown): void {
    this.#failure ??= error;
  }

  #throwFailure(): void {
    if (this.#failure) throw this.#failure;
  }
}
