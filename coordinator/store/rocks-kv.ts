import { access } from 'node:fs/promises';
import { join } from 'node:path';
import type RocksDB from 'rocksdb-native';
import type { Iterator as RocksIterator } from 'rocksdb-native';
import { compareBytes, readU64be, u64be } from '#shared/crypto/bytes.ts';
import { must, PoolError } from '#shared/errors/pool-error.ts';
import { Slab } from '#shared/slab.ts';
import { HighWaterMark } from './high-water-mark.ts';
import { corrupt, ioError } from './io-error.ts';
import { BUCKET, bucketKey, bucketRange } from './keys.ts';
import type { KV, KvEntry, KvOp, KvRange } from './kv.ts';
import { acquirePidLock, type PidLock } from './pid-lock.ts';
import { WalSync } from './wal-sync.ts';

/** Tolerate a torn tail, refuse a record that does not check: RocksDB's default drops all that follows it. */
const WAL_RECOVERY_MODE = 0;
/** Two such buffers live in memory; at RocksDB's default of 64 MiB they alone would fill half our budget. */
const WRITE_BUFFER_BYTES = 16 * 1024 * 1024;
/** Waiting batches are written together up to this size: bounded memory, and one fdatasync for many. */
const GROUP_MAX_BYTES = 4 * 1024 * 1024;
/** Entries per call of a walk. The library's default of 8 makes small entries 3 times slower (measured). */
const WALK_CAPACITY = 64;
/** Number of durable groups ever written, part of each of them: compared with the high-water mark at open. */
const SEQUENCE_KEY = bucketKey(BUCKET.store, 0);
/** Where the walks begin: the store's own keys are below. */
const FIRST_KEY = bucketRange(BUCKET.store).lt;

interface Waiting {
  readonly ops: readonly KvOp[];
  readonly durable: boolean;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

interface Parts {
  readonly db: RocksDB;
  readonly wal: WalSync;
  readonly mark: HighWaterMark;
  readonly lock: PidLock;
}

/**
 * Opens the store in `dir` (made if missing): `dir/db` is RocksDB's, `dir/mark` the high-water mark,
 * `dir/lock` the pid lock. Errors: STORE_LOCKED (another process, by pid), STORE_CORRUPT (damaged, or
 * acknowledged writes are gone), STORE_VERSION, STORE_IO.
 */
export async function openRocksKv(dir: string): Promise<KV> {
  const lock = await acquirePidLock(dir, 'lock');
  let mark: HighWaterMark | undefined;
  try {
    mark = await openMark(dir);
    const db = await openDb(join(dir, 'db'), mark.value === 0n);
    try {
      await checkSequence({ db, mark });
    } catch (error) {
      await db.close();
      throw error;
    }
    return new RocksKv({ db, wal: new WalSync(join(dir, 'db'), db), mark, lock });
  } catch (error) {
    await mark?.close();
    await lock.release();
    throw ioError(error, `open the store ${dir}`);
  }
}

/** The mark is made before the database, so a database without one has lost it. */
async function openMark(dir: string): Promise<HighWaterMark> {
  const path = join(dir, 'mark');
  const mark = await HighWaterMark.open(path);
  if (mark) return mark;
  if (await exists(join(dir, 'db', 'CURRENT'))) throw corrupt(`${path} is missing beside a database`);
  return HighWaterMark.create(path);
}

async function openDb(path: string, mayBeNew: boolean): Promise<RocksDB> {
  if (!mayBeNew && !(await exists(join(path, 'CURRENT')))) {
    throw corrupt(`${path}/CURRENT is missing: the database, or a part of it, was deleted`);
  }
  const { default: Rocks } = await import('rocksdb-native').catch((cause: unknown) => {
    const hint = 'on Debian and Ubuntu it needs the package libatomic1';
    throw new PoolError('STORE_IO', `RocksDB's library cannot be loaded (${hint})`, {}, { cause });
  });
  const db = new Rocks(path, {
    createIfMissing: mayBeNew,
    walRecoveryMode: WAL_RECOVERY_MODE,
    writeBufferSize: WRITE_BUFFER_BYTES,
  });
  await db.ready();
  return db;
}

async function checkSequence({ db, mark }: Pick<Parts, 'db' | 'mark'>): Promise<void> {
  const [stored] = await readAll(db, [SEQUENCE_KEY]);
  const sequence = stored ? readU64be(stored) : 0n;
  if (sequence < mark.value) {
    throw corrupt(`${mark.value} durable writes were acknowledged, the database has ${sequence} of them`);
  }
  // Recovery turned the log into tables and synced them, so all that is there is durable now.
  if (sequence > mark.value) await mark.write(sequence);
}

/** One writer loop: it keeps the order of the calls and lets what waits share one write and one sync. */
class RocksKv implements KV {
  readonly #parts: Parts;
  readonly #walks = new Set<RocksIterator>();
  #waiting: Waiting[] = [];
  #writer: Promise<void> | undefined;
  #failed: PoolError | undefined;
  #closed: Promise<void> | undefined;

  constructor(parts: Parts) {
    this.#parts = parts;
  }

  async get(key: Uint8Array): Promise<Uint8Array | undefined> {
    return (await this.getMany([key]))[0];
  }

  async getMany(keys: readonly Uint8Array[]): Promise<(Uint8Array | undefined)[]> {
    this.#mustBeOpen();
    if (keys.length === 0) return [];
    try {
      return await readAll(this.#parts.db, keys);
    } catch (error) {
      throw ioError(error, 'read from the store');
    }
  }

  async batch(ops: readonly KvOp[], options: { readonly durable: boolean }): Promise<void> {
    this.#mustBeOpen();
    if (this.#failed) throw this.#failed;
    const done = new Promise<void>((resolve, reject) => {
      this.#waiting.push({ ops, durable: options.durable, resolve, reject });
    });
    this.#writer ??= this.#writeWaiting();
    return done;
  }

  async *entries(range: KvRange = {}): AsyncGenerator<KvEntry> {
    this.#mustBeOpen();
    if (range.limit === 0) return;
    const { limit = -1, gte = FIRST_KEY, ...rest } = range;
    const walk = this.#parts.db.iterator({
      ...rest,
      gte: compareBytes(gte, FIRST_KEY) < 0 ? FIRST_KEY : gte,
      limit,
      capacity: limit > 0 ? Math.min(limit, WALK_CAPACITY) : WALK_CAPACITY,
    });
    this.#walks.add(walk);
    try {
      for await (const { key, value } of walk) {
        yield [plain(key), plain(value)];
        this.#mustBeOpen();
      }
      this.#mustBeOpen();
    } catch (error) {
      throw ioError(error, 'read from the store');
    } finally {
      this.#walks.delete(walk);
      walk.destroy();
    }
  }

  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<void> {
    const { db, mark, wal, lock } = this.#parts;
    await this.#writer;
    // RocksDB waits for open walks, and one that its reader left behind would hold it for ever.
    for (const walk of this.#walks) walk.destroy();
    try {
      if (!this.#failed) await mark.sync();
      await db.close();
    } catch (error) {
      throw ioError(error, 'close the store');
    } finally {
      await wal.close();
      await mark.close();
      await lock.release();
    }
  }

  #mustBeOpen(): void {
    must(this.#closed === undefined, 'STORE_IO', 'the store is closed');
  }

  async #writeWaiting(): Promise<void> {
    while (this.#waiting.length > 0) {
      const group = this.#takeGroup();
      try {
        await this.#writeGroup(group);
      } catch (error) {
        this.#fail(ioError(error, 'write to the store'), group);
      }
    }
    // In the same turn as the last look at the queue: a batch called later starts a new loop.
    this.#writer = undefined;
  }

  #takeGroup(): Waiting[] {
    let bytes = 0;
    let count = 0;
    for (const { ops } of this.#waiting) {
      bytes += bytesOf(ops);
      if (count > 0 && bytes > GROUP_MAX_BYTES) break;
      count++;
    }
    return this.#waiting.splice(0, count);
  }

  async #writeGroup(group: readonly Waiting[]): Promise<void> {
    const { db, mark, wal } = this.#parts;
    const durable = group.filter((batch) => batch.durable);
    const next = mark.value + 1n;
    const capacity = group.reduce((count, { ops }) => count + ops.length, 1);
    const write = db.write({ capacity, autoDestroy: true });
    const slab = new Slab();
    for (const { ops } of group) for (const op of ops) add(write, op, slab);
    if (durable.length > 0) write.tryPut(SEQUENCE_KEY, u64be(next));
    await write.flush();
    for (const batch of group) if (!batch.durable) batch.resolve();
    if (durable.length === 0) return;
    // The mark of the group before goes to the disk in the same moment: it costs no wait of its own.
    await Promise.all([wal.sync(), mark.sync()]);
    await mark.write(next);
    for (const batch of durable) batch.resolve();
  }

  /** After a failed write or sync nobody knows what the disk holds: nothing more is written until reopened. */
  #fail(error: PoolError, group: readonly Waiting[]): void {
    this.#failed = error;
    for (const batch of [...group, ...this.#waiting]) batch.reject(error);
    this.#waiting = [];
  }
}

function add(write: ReturnType<RocksDB['write']>, op: KvOp, slab: Slab): void {
  if (op.type === 'put') write.tryPut(offHeap(op.key, slab), offHeap(op.value, slab));
  else if (op.type === 'del') write.tryDelete(op.key);
  else write.tryDeleteRange(op.gte, op.lt);
}

/** The library needs the address of the bytes. A part of a larger buffer has one; V8 keeps small arrays without. */
const offHeap = (bytes: Uint8Array, slab: Slab): Uint8Array =>
  bytes.byteOffset > 0 || bytes.length === 0 ? bytes : slab.copy(bytes);

function bytesOf(ops: readonly KvOp[]): number {
  return ops.reduce((sum, op) => sum + (op.type === 'put' ? op.key.length + op.value.length : 0), 0);
}

async function readAll(db: RocksDB, keys: readonly Uint8Array[]): Promise<(Uint8Array | undefined)[]> {
  const read = db.read({ capacity: keys.length, autoDestroy: true });
  const slab = new Slab();
  const values = Promise.all(keys.map((key) => read.get(offHeap(key, slab))));
  const [found] = await Promise.all([values, read.flush()]);
  return found.map((value) => (value === null ? undefined : plain(value)));
}

/** The library gives Buffers, whose `slice` and equality differ from those of the Uint8Array they hold. */
function plain(bytes: Uint8Array): Uint8Array {
  return new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
