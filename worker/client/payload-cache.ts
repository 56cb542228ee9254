import { createHash, randomUUID } from 'node:crypto';
import { mkdir, open, readdir, readFile, rename, rm, stat, utimes } from 'node:fs/promises';
import { join } from 'node:path';
import { PoolError } from '#shared/errors/pool-error.ts';
import type { PayloadRequest } from '#worker/client/api-client.ts';

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

/**
 * Content-addressed files, one per payload, named by their hash. A fetch streams into a temporary file that
 * gets its name only when the hash is right, so a crash leaves no half payload; every read is hashed again,
 * and a damaged file is fetched anew. Several processes may share the folder.
 */
export class PayloadCache implements PayloadSource {
  readonly #options: PayloadCacheOptions;
  readonly #origin: PayloadOrigin;
  readonly #fetching = new Map<string, Promise<Uint8Array>>();
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
    if (!HASH.test(hash)) throw new PoolError('BAD_REQUEST', 'payload: expected 64 lower-case hex digits');
    const stored = await this.#read(hash);
    if (stored) return stored;
    const running = this.#fetching.get(hash);
    // A fetch that another caller aborts must not fail this one: it is only joined, never inherited.
    if (running !== undefined) return running.catch(() => this.#fetch(hash, options));
    const fetching = this.#fetch(hash, options).finally(() => this.#fetching.delete(hash));
    this.#fetching.set(hash, fetching);
    return fetching;
  }

  async #read(hash: string): Promise<Uint8Array | undefined> {
    const path = join(this.#options.dir, hash);
    const bytes = await readFile(path).catch(() => undefined);
    if (bytes === undefined) return undefined;
    if (sha256Hex(bytes) !== hash) {
      await rm(path, { force: true });
      return undefined;
    }
    const used = new Date(this.#options.now());
    await utimes(path, used, used).catch(() => {}); // evicted by another process meanwhile
    return bytes;
  }

  async #fetch(hash: string, options: PayloadOptions): Promise<Uint8Array> {
    const { dir, now } = this.#options;
    const temporary = join(dir, `${hash}.${randomUUID()}.tmp`);
    try {
      const bytes = await this.#download(hash, temporary, options);
      await rename(temporary, join(dir, hash));
      const used = new Date(now());
      await utimes(join(dir, hash), used, used).catch(() => {});
      this.#bytes += bytes.length;
      if (this.#bytes > this.#options.maxBytes) await this.#evict(hash);
      return bytes;
    } catch (error) {
      await rm(temporary, { force: true });
      throw asPoolError(error, options.signal);
    }
  }

  async #download(hash: string, path: string, options: PayloadOptions): Promise<Uint8Array> {
    const most = options.maxBytes ?? MAX_PAYLOAD_BYTES;
    const digest = createHash('sha256');
    const file = await open(path, 'wx');
    let size = 0;
    try {
      for await (const chunk of await this.#origin.payload(hash, options)) {
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
    return readFile(path);
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
      return found && { name, bytes: found.size, usedMs: found.mtimeMs };
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

const sha256Hex = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

function asPoolError(error: unknown, signal: AbortSignal | undefined): unknown {
  if (error instanceof PoolError || signal?.aborted) return error;
  const code = (error as NodeJS.ErrnoException).code;
  const local = typeof code === 'string' && /^E[A-Z]+$/.test(code) && 'syscall' in (error as object);
  return new PoolError(
    local && !code.startsWith('ECONN') ? 'STORE_IO' : 'UNAVAILABLE',
    `payload could not be fetched: ${(error as Error).message}`,
    {},
    { cause: error },
  );
}
