import { createHash } from 'node:crypto';
import { equalBytes, readU64be, toHex, u64be } from '#shared/crypto/bytes.ts';
import { must, PoolError } from '#shared/errors/pool-error.ts';
import { corrupt } from './io-error.ts';
import { BUCKET, bucketKey, bucketRange } from './keys.ts';
import { del, delRange, type KV, type KvOp, put } from './kv.ts';

/** Values of 256 MiB take seconds to store, small ones cost a key each: 1 to 4 MiB is right (measured). */
export const CHUNK_BYTES = 1024 * 1024;

/** State of a payload: one byte, then its size as u64. Ids are on disk. */
const STATE = { begun: 0, complete: 1 } as const;

export type PayloadSource = Uint8Array | AsyncIterable<Uint8Array> | Iterable<Uint8Array>;

/**
 * Payloads by their SHA-256, in chunks of 1 MiB. A payload is there or it is not: nothing of a `put` that is
 * under way, failed or was cut by a crash can be read. Writes are not durable by themselves; the next
 * durable batch on the same KV makes them so (prefix durability of kv.ts).
 */
export class PayloadStore {
  readonly #kv: KV;
  /** Hash → the last `put` of it: equal payloads are written one after the other, never mixed. */
  readonly #running = new Map<string, Promise<void>>();

  constructor(kv: KV) {
    this.#kv = kv;
  }

  async has(hash: Uint8Array): Promise<boolean> {
    return (await this.#sizeOf(hash)) !== undefined;
  }

  /** Bytes of the payload. NOT_FOUND if it is not there. */
  async size(hash: Uint8Array): Promise<number> {
    const size = await this.#sizeOf(hash);
    must(size !== undefined, 'NOT_FOUND', () => `there is no payload ${toHex(hash)}`);
    return size;
  }

  /**
   * Stores the payload with this hash; holds about one chunk in memory. Does nothing, and does not read the
   * source, where it is there already. BLOCK_PAYLOAD if the bytes have another hash: nothing is kept then.
   */
  async put(hash: Uint8Array, source: PayloadSource): Promise<void> {
    const id = toHex(hash);
    const before = this.#running.get(id) ?? Promise.resolve();
    const run = before.catch(() => undefined).then(() => this.#putNow(hash, source));
    this.#running.set(id, run);
    try {
      await run;
    } finally {
      if (this.#running.get(id) === run) this.#running.delete(id);
    }
  }

  /**
   * The bytes from `start` up to, and without, `end`, in pieces of at most a chunk. NOT_FOUND if the payload
   * is not there, RANGE_NOT_SATISFIABLE if the range is not inside it.
   */
  async *read(hash: Uint8Array, range: { start?: number; end?: number } = {}): AsyncGenerator<Uint8Array> {
    const size = await this.size(hash);
    const { start = 0, end = size } = range;
    const valid = Number.isSafeInteger(start) && Number.isSafeInteger(end) && start >= 0;
    must(valid && start <= end && end <= size, 'RANGE_NOT_SATISFIABLE', () => {
      return `range ${start}..${end} is not inside the payload of ${size} bytes`;
    });
    for (let at = start; at < end; ) {
      const index = Math.floor(at / CHUNK_BYTES);
      const from = at - index * CHUNK_BYTES;
      const to = Math.min(CHUNK_BYTES, from + (end - at));
      const chunk = await this.#kv.get(bucketKey(BUCKET.payloadChunk, hash, index));
      if (!chunk || chunk.length < to) throw corrupt(`payload ${toHex(hash)} lacks chunk ${index}`);
      yield chunk.subarray(from, to);
      at += to - from;
    }
  }

  /**
   * Removes every payload that `isReferenced` does not want, and what interrupted writes left behind.
   * Payloads being written meanwhile stay. Returns how many were removed.
   */
  async collect(isReferenced: (hash: Uint8Array) => boolean | Promise<boolean>): Promise<number> {
    let removed = 0;
    for await (const [key, state] of this.#kv.entries(bucketRange(BUCKET.payloadState))) {
      const hash = key.slice(1);
      if (this.#running.has(toHex(hash))) continue;
      if (state[0] === STATE.complete && (await isReferenced(hash))) continue;
      if (this.#running.has(toHex(hash))) continue; // begun while we asked
      await this.#remove(hash);
      removed++;
    }
    return removed;
  }

  async #sizeOf(hash: Uint8Array): Promise<number | undefined> {
    const state = await this.#kv.get(bucketKey(BUCKET.payloadState, hash));
    return state?.[0] === STATE.complete ? Number(readU64be(state, 1)) : undefined;
  }

  async #putNow(hash: Uint8Array, source: PayloadSource): Promise<void> {
    if (await this.has(hash)) return;
    await this.#kv.batch([stateOp(hash, STATE.begun, 0)], { durable: false });
    try {
      await this.#kv.batch([stateOp(hash, STATE.complete, await this.#write(hash, source))], {
        durable: false,
      });
    } catch (error) {
      // A store that has failed cannot clean up either: `collect` does so at the next start.
      await this.#remove(hash).catch(() => undefined);
      throw error;
    }
  }

  /** Returns the size. */
  async #write(hash: Uint8Array, source: PayloadSource): Promise<number> {
    const sha = createHash('sha256');
    let size = 0;
    for await (const chunk of chunksOf(source)) {
      sha.update(chunk);
      const key = bucketKey(BUCKET.payloadChunk, hash, Math.floor(size / CHUNK_BYTES));
      await this.#kv.batch([put(key, chunk)], { durable: false });
      size += chunk.length;
    }
    const actual = sha.digest();
    if (equalBytes(actual, hash)) return size;
    throw new PoolError(
      'BLOCK_PAYLOAD',
      `expected a payload with hash ${toHex(hash)}, got ${size} bytes with hash ${toHex(actual)}`,
    );
  }

  async #remove(hash: Uint8Array): Promise<void> {
    const chunks = delRange(bucketRange(BUCKET.payloadChunk, hash));
    await this.#kv.batch([chunks, del(bucketKey(BUCKET.payloadState, hash))], { durable: false });
  }
}

/** What marks a payload as complete; as begun, to be collected, where it has no size. */
export function payloadStateOp(hash: Uint8Array, size: number | undefined): KvOp {
  return size === undefined ? stateOp(hash, STATE.begun, 0) : stateOp(hash, STATE.complete, size);
}

function stateOp(hash: Uint8Array, state: number, size: number): KvOp {
  return put(bucketKey(BUCKET.payloadState, hash), Uint8Array.of(state, ...u64be(size)));
}

/** The same bytes in chunks of CHUNK_BYTES, the last one shorter. A yielded chunk is reused for the next. */
async function* chunksOf(source: PayloadSource): AsyncGenerator<Uint8Array> {
  const buffer = new Uint8Array(CHUNK_BYTES);
  let filled = 0;
  for await (const piece of source instanceof Uint8Array ? [source] : source) {
    for (let at = 0; at < piece.length; ) {
      const part = piece.subarray(at, at + CHUNK_BYTES - filled);
      buffer.set(part, filled);
      filled += part.length;
      at += part.length;
      if (filled === CHUNK_BYTES) {
        yield buffer;
        filled = 0;
      }
    }
  }
  if (filled > 0) yield buffer.subarray(0, filled);
}
