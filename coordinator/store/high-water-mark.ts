import { createHash } from 'node:crypto';
import { type FileHandle, open, rename } from 'node:fs/promises';
import { dirname } from 'node:path';
import { concatBytes, equalBytes, readU64be, u64be, utf8ToBytes } from '#shared/crypto/bytes.ts';
import { PoolError } from '#shared/errors/pool-error.ts';
import { corrupt, ioError } from './io-error.ts';

const MAGIC = utf8ToBytes('aiblkkv');
const VERSION = 1;
const RECORD_BYTES = 24;
/** Two places in different disk sectors, written in turn: a torn write leaves the other one whole. */
const SLOT_STRIDE_BYTES = 4096;

/**
 * A number beside the database that says how far it was durable: a log that lost its tail, or was deleted,
 * opens without complaint, and only this tells. The number is written after the batch it counts is on the
 * disk, so it is never ahead; `sync` may run later (with the next batch), so it may be one behind.
 *
 * Record: magic (7) ‖ format version (1) ‖ u64 number ‖ first 8 bytes of SHA-256 of these 16.
 */
export class HighWaterMark {
  readonly #file: FileHandle;
  #value: bigint;
  #synced = true;

  private constructor(file: FileHandle, value: bigint) {
    this.#file = file;
    this.#value = value;
  }

  get value(): bigint {
    return this.#value;
  }

  /** `undefined` where there is no such file. STORE_CORRUPT if no record in it is whole. */
  static async open(path: string): Promise<HighWaterMark | undefined> {
    let file: FileHandle;
    try {
      file = await open(path, 'r+');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
      throw ioError(error, `open ${path}`);
    }
    try {
      return new HighWaterMark(file, await readHighest(file, path));
    } catch (error) {
      await file.close();
      throw ioError(error, `read ${path}`);
    }
  }

  /** A new file with the number 0, on the disk when this resolves. */
  static async create(path: string): Promise<HighWaterMark> {
    const file = await open(`${path}.new`, 'w+');
    const mark = new HighWaterMark(file, 0n);
    await mark.write(0n);
    await mark.sync();
    await rename(`${path}.new`, path);
    const folder = await open(dirname(path), 'r');
    await folder.sync();
    await folder.close();
    return mark;
  }

  async write(value: bigint): Promise<void> {
    const position = Number(value & 1n) * SLOT_STRIDE_BYTES;
    await this.#file.write(encode(value), 0, RECORD_BYTES, position);
    this.#value = value;
    this.#synced = false;
  }

  async sync(): Promise<void> {
    if (this.#synced) return;
    this.#synced = true;
    await this.#file.datasync();
  }

  async close(): Promise<void> {
    await this.#file.close();
  }
}

function encode(value: bigint): Uint8Array {
  const head = concatBytes(MAGIC, Uint8Array.of(VERSION), u64be(value));
  return concatBytes(head, checksum(head));
}

function checksum(head: Uint8Array): Uint8Array {
  return createHash('sha256').update(head).digest().subarray(0, 8);
}

async function readHighest(file: FileHandle, path: string): Promise<bigint> {
  const values: bigint[] = [];
  for (const slot of [0, 1]) {
    const record = new Uint8Array(RECORD_BYTES);
    const { bytesRead } = await file.read(record, 0, RECORD_BYTES, slot * SLOT_STRIDE_BYTES);
    if (bytesRead < RECORD_BYTES) continue;
    const head = record.subarray(0, 16);
    if (!equalBytes(checksum(head), record.subarray(16))) continue;
    if (!equalBytes(head.subarray(0, 7), MAGIC)) continue;
    const version = head[7];
    if (version !== VERSION) {
      throw new PoolError(
        'STORE_VERSION',
        `${path}: this program reads format ${VERSION}, the folder has ${version}`,
      );
    }
    values.push(readU64be(head, 8));
  }
  if (values.length === 0) throw corrupt(`${path}: no record in it is whole`);
  return values.sort((a, b) => (a < b ? 1 : -1))[0] as bigint;
}
