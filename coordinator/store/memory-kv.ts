import { compareBytes } from '#shared/crypto/bytes.ts';
import { PoolError } from '#shared/errors/pool-error.ts';
import type { KV, KvEntry, KvOp, KvRange } from './kv.ts';

/** The KV contract in memory, for tests and for work that must leave nothing behind. */
export class MemoryKv implements KV {
  /** Sorted by key. A batch replaces the array, so that a walk keeps the one it began with. */
  #entries: readonly KvEntry[] = [];
  #closed = false;

  async get(key: Uint8Array): Promise<Uint8Array | undefined> {
    this.#mustBeOpen();
    return this.#find(key)?.slice();
  }

  async getMany(keys: readonly Uint8Array[]): Promise<(Uint8Array | undefined)[]> {
    this.#mustBeOpen();
    return keys.map((key) => this.#find(key)?.slice());
  }

  async batch(ops: readonly KvOp[]): Promise<void> {
    this.#mustBeOpen();
    const next = [...this.#entries];
    for (const op of ops) apply(next, op);
    this.#entries = next;
  }

  async *entries(range: KvRange = {}): AsyncGenerator<KvEntry> {
    this.#mustBeOpen();
    const all = this.#entries;
    const from = range.gte ? lowerBound(all, range.gte) : 0;
    const to = range.lt ? lowerBound(all, range.lt) : all.length;
    const count = Math.min(Math.max(0, to - from), range.limit ?? Number.POSITIVE_INFINITY);
    for (let i = 0; i < count; i++) {
      this.#mustBeOpen();
      const [key, value] = all[range.reverse ? to - 1 - i : from + i] as KvEntry;
      yield [key.slice(), value.slice()];
    }
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#entries = [];
  }

  #find(key: Uint8Array): Uint8Array | undefined {
    const entry = this.#entries[lowerBound(this.#entries, key)];
    return entry && compareBytes(entry[0], key) === 0 ? entry[1] : undefined;
  }

  #mustBeOpen(): void {
    if (this.#closed) throw new PoolError('STORE_IO', 'the store is closed');
  }
}

function apply(entries: KvEntry[], op: KvOp): void {
  if (op.type === 'delRange') {
    const from = lowerBound(entries, op.gte);
    entries.splice(from, Math.max(0, lowerBound(entries, op.lt) - from));
    return;
  }
  const at = lowerBound(entries, op.key);
  const found = entries[at];
  const replaced = found && compareBytes(found[0], op.key) === 0 ? 1 : 0;
  if (op.type === 'put') entries.splice(at, replaced, [op.key.slice(), op.value.slice()]);
  else entries.splice(at, replaced);
}

/** Index of the first entry whose key is not below `key`. */
function lowerBound(entries: readonly KvEntry[], key: Uint8Array): number {
  let low = 0;
  let high = entries.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (compareBytes((entries[middle] as KvEntry)[0], key) < 0) low = middle + 1;
    else high = middle;
  }
  return low;
}
