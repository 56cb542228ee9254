/**
 * The contract of the key-value store below every piece of coordinator state. `test/conformance/kv.ts` is its
 * definition in code; each implementation passes it.
 *
 * - Keys are compared bytewise. A key is at least one byte, the first of them not 0x00 (such keys are the
 *   implementation's own and never shown); a value may be empty.
 * - A batch is atomic: a reader, and a start after any crash, sees all of it or none.
 * - Batches take effect in the order of the calls. When a durable batch resolves, it and every batch called
 *   before it are on the disk (prefix durability), so bulk data may be written without `durable` first.
 * - The bytes handed to `batch` must not change until it resolves. What a read returns belongs to the caller.
 * - After `close` every call is refused with STORE_IO; `close` itself may be called again.
 */
export interface KV {
  get(key: Uint8Array): Promise<Uint8Array | undefined>;
  /** Values in the order of the keys, `undefined` where there is none. */
  getMany(keys: readonly Uint8Array[]): Promise<(Uint8Array | undefined)[]>;
  batch(ops: readonly KvOp[], options: { readonly durable: boolean }): Promise<void>;
  /** Entries in key order, as of the first one read. A batch during the walk neither breaks nor enters it. */
  entries(range?: KvRange): AsyncIterable<KvEntry>;
  /** Waits for batches already called, then frees everything. */
  close(): Promise<void>;
}

export type KvEntry = readonly [key: Uint8Array, value: Uint8Array];

export type KvOp =
  | { readonly type: 'put'; readonly key: Uint8Array; readonly value: Uint8Array }
  | { readonly type: 'del'; readonly key: Uint8Array }
  /** Deletes every key in [gte, lt) that stands there when this op's turn in the batch comes. */
  | { readonly type: 'delRange'; readonly gte: Uint8Array; readonly lt: Uint8Array };

export interface KvRange {
  readonly gte?: Uint8Array;
  readonly lt?: Uint8Array;
  readonly reverse?: boolean;
  readonly limit?: number;
}

export const put = (key: Uint8Array, value: Uint8Array): KvOp => ({ type: 'put', key, value });
export const del = (key: Uint8Array): KvOp => ({ type: 'del', key });
export const delRange = (range: { gte: Uint8Array; lt: Uint8Array }): KvOp => ({
  type: 'delRange',
  ...range,
});
