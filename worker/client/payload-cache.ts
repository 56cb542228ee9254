import { createHash, randomUUID } from 'node:crypto';
import { mkdir, open, readdir, rename, rm, stat, utimes } from 'node:fs/promises';
import { join } from 'node:path';
import { PoolError } from '#shared/errors/pool-error.ts';
import type { PayloadRequest } from '#worker/client/api-client.ts';
import { PayloadFile } from '#worker/client/payload-file.ts';

/** Where payload bytes come from: the coordinator. */
export interface PayloadOrigin {
  payload(hash: string, request: PayloadRequest): Promise<AsyncIterable<Uint8Array>>;
}

export interface PayloadOptions extends PayloadRequest {
  /** Size that the caller knows from shape and dtype: more than this is cut off at once. */
  readonly maxBytes?: number;
}

/** Payloads by their SHA-256, verified. */
export interface PayloadSource {
  get(hash: string, options?: PayloadOptions): Promise<Uint8Array>;
}

/** Payloads that are too large to be in memory as a whole. */
export interface PayloadFiles {
  /** The caller closes it. */
  open(hash: string, options?: PayloadOptions): Promise<OpenPayload>;
}

export type OpenPayload = Pick<PayloadFile, 'bytes' | 'read' | 'close'>;

export interface PayloadCacheOptions {
  readonly dir: string;
  /** Least recently used files go when the folder outgrows this. */
  readonly maxBytes: number;
  readonly now: () => number;
}

/** A payload larger than this fits no buffer of this process. */
const MAX_PAYLOAD_BYTES = 2 ** 31;
const HASH = /^[0-9a-f]{64}$/;
const STALE_TEMPORARY_MS = 3_600_000;
/** A line that breaks so often does not carry the payload. */
const ATTEMPTS = 3;

/**
 * Content-addressed files, one per payload, named by their hash. A fetch streams into a temporary file that
 * gets its name only when the hash is right, so a crash leaves no half payload. Several processes may share the
 * folder.
 *
 * A file is hashed when this process first reads it, and fetched anew where it is damaged. Afterwards it is trusted
 * while it is the same file with the same size and time of its last change: who wants to deceive us about those
 * could as well change this program. So the access time tells how lately a file was used, not the other.
 */
export class PayloadCache implements PayloadSource {
  readonly #options: PayloadCacheOptions;
  readonly #origin: PayloadOrigin;
  readonly #fetching = new Map<string, Promise<void>>();
  /** Stamps of files whose hash was found right, by hash. */
  readonly #verified = new Map<string, string>();
  /** Bytes in the folder when last looked, plus what was added since. */
  #bytes: number;

  private constructor(options: PayloadCacheOptions, origin: PayloadOrigin, bytes: number) {
    this.#options = options;
    this.#origin = origin;
    this.#bytes = bytes;
  }

  static async open(options: PayloadCacheOptions, origin: PayloadOrigin): Promise<PayloadCache> {
    await mkdir(options.dir, { recursive: true }).catch((cause: NodeJS.ErrnoException) => {
      throw new PoolError('STORE_IO', `${options.dir}: cannot be made (${cause.code})`, {}, { cause });
    });
    await removeStale(options);
    const files = await list(options.dir);
    return new PayloadCache(options, origin, sizeOf(files));
  }

  /** The payload's bytes. BLOCK_PAYLOAD where the coordinator sends others, or more than `maxBytes`. */
  async get(hash: string, options: PayloadOptions = {}): Promise<Uint8Array> {
    const file = await this.open(hash, { maxBytes: MAX_PAYLOAD_BYTES, ...options });
    try {
      const bytes = new Uint8Array(file.bytes);
      await file.read(bytes, 0);
      return bytes;
    } finally {
      await file.close();
    }
  }

  /** As `get`, to be read in pieces. The file stays readable though it may be dropped from the folder. */
  async open(hash: string, options: PayloadOptions = {}): Promise<PayloadFile> {
    if (!HASH.test(hash)) throw new PoolError('BAD_REQUEST', 'payload: expected 64 lower-case hex digits');
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      const file = await this.#openVerified(hash);
      if (file) return file;
      const running = this.#fetching.get(hash);
      // A fetch that another caller aborts must not fail this one: it is only joined, never inherited.
      await (running?.catch(() => this.#fetchOnce(hash, options)) ?? this.#fetchOnce(hash, options));
    }
    throw new PoolError('STORE_IO', `payload ${hash}: it vanishes from ${this.#options.dir} time and again`);
  }

  async #openVerified(hash: string): Promise<PayloadFile | undefined> {
    const path = join(this.#options.dir, hash);
    const file = await PayloadFile.open(path);
    if (file === undefined) return undefined;
    try {
      if (this.#verified.get(hash) !== file.stamp && (await file.hash()) !== hash) {
        await rm(path, { force: true });
        await file.close();
        return undefined;
      }
      this.#verified.set(hash, file.stamp);
      await this.#touch(path);
      return file;
    } catch (error) {
      await file.close();
      throw error;
    }
  }

  /** Whole seconds survive being written back, so that the time of the last change stays what it was. */
  async #touch(path: string): Promise<void> {
    const found = await stat(path).catch(() => undefined); // evicted by another process meanwhile
    if (found === undefined) return;
    await utimes(path, this.#options.now() / 1000, Math.floor(found.mtimeMs / 1000)).catch(() => {});
  }

  #fetchOnce(hash: string, options: PayloadOptions): Promise<void> {
    const fetching = this.#fetch(hash, options).finally(() => this.#fetching.delete(hash));
    this.#fetching.set(hash, fetching);
    return fetching;
  }

  async #fetch(hash: string, options: PayloadOptions): Promise<void> {
    const { dir, now } = this.#options;
    const path = join(dir, hash);
    const temporary = `${path}.${randomUUID()}.tmp`;
    try {
      const bytes = await this.#download(hash, temporary, options);
      const seconds = Math.floor(now() / 1000);
      await utimes(temporary, now() / 1000, seconds);
      const { ino, size, mtimeMs } = await stat(temporary);
      await rename(temporary, path);
      this.#verified.set(hash, `${ino}:${size}:${mtimeMs}`);
      this.#bytes += bytes;
      if (this.#bytes > this.#options.maxBytes) await this.#evict(hash);
    } catch (error) {
      await rm(temporary, { force: true });
      throw asPoolError(error, options.signal);
    }
  }

  /** Bytes that came. */
  async #download(hash: string, path: string, options: PayloadOptions): Promise<number> {
    const most = options.maxBytes ?? Number.POSITIVE_INFINITY;
    const digest = createHash('sha256');
    const file = await open(path, 'wx');
    let size = 0;
    try {
      for await (const chunk of this.#arriving(hash, options)) {
        size += chunk.length;
        if (size > most)
          throw new PoolError('BLOCK_PAYLOAD', `payload ${hash}: expected at most ${most} bytes`);
        digest.update(chunk);
        await file.appendFile(chunk);
      }
    } finally {
      await file.close();
    }
    const got = digest.digest('hex');
    if (got !== hash)
      throw new PoolError('BLOCK_PAYLOAD', `payload ${hash}: got ${size} bytes with the hash ${got}`);
    return size;
  }

  /** A payload from the coordinator. A line that breaks is taken up again where it broke. */
  async *#arriving(hash: string, options: PayloadOptions): AsyncGenerator<Uint8Array> {
    let start = 0;
    for (let attempt = 1; ; attempt++) {
      try {
        for await (const chunk of await this.#origin.payload(hash, { ...options, start })) {
          start += chunk.length;
          yield chunk;
        }
        return;
      } catch (error) {
        if (error instanceof PoolError || options.signal?.aborted || attempt === ATTEMPTS) throw error;
      }
    }
  }

  /** Oldest first, until the folder is within nine tenths of its limit; `keep` was asked for just now. */
  async #evict(keep: string): Promise<void> {
    const files = await list(this.#options.dir);
    let bytes = sizeOf(files);
    for (const file of files.sort((a, b) => a.usedMs - b.usedMs)) {
      if (bytes <= this.#options.maxBytes * 0.9) break;
      if (file.name === keep) continue;
      await rm(join(this.#options.dir, file.name), { force: true });
      bytes -= file.bytes;
    }
    this.#bytes = bytes;
  }
}

interface CachedFile {
  readonly name: string;
  readonly bytes: number;
  readonly usedMs: number;
}

async function list(dir: string): Promise<CachedFile[]> {
  const names = (await readdir(dir)).filter((name) => HASH.test(name));
  const files = await Promise.all(
    names.map(async (name) => {
      const found = await stat(join(dir, name)).catch(() => undefined);
      return found && { name, bytes: found.size, usedMs: found.atimeMs };
    }),
  );
  return files.filter((file) => file !== undefined);
}

/** Temporary files of a process that was killed. Younger ones may still be written by another. */
async function removeStale({ dir, now }: PayloadCacheOptions): Promise<void> {
  for (const name of (await readdir(dir)).filter((n) => n.endsWith('.tmp'))) {
    const found = await stat(join(dir, name)).catch(() => undefined);
    if (found && found.mtimeMs < now() - STALE_TEMPORARY_MS) await rm(join(dir, name), { force: true });
  }
}

const sizeOf = (files: readonly CachedFile[]): number => files.reduce((sum, { bytes }) => sum + bytes, 0);

function asPoolError(error: unknown, signal: AbortSignal | undefined): unknown {
  if (error instanceof PoolError || signal?.aborted) return error;
  const { code } = error as NodeJS.ErrnoException;
  const local = typeof code === 'string' && /^E[A-Z]+$/.test(code) && 'syscall' in (error as object);
  return new PoolError(
    local && !code.startsWith('ECONN') ? 'STORE_IO' : 'UNAVAILABLE',
    `payload could not be fetched: ${(error as Error).message}`,
    {},
    { cause: error },
  );
}
