/** The part of rocksdb-native 3.18 that rocks-kv.ts uses; the package ships no types. */
declare module 'rocksdb-native' {
  export interface Options {
    createIfMissing?: boolean;
    /** 0 = tolerate a torn tail, refuse everything else that does not check. */
    walRecoveryMode?: 0 | 1 | 2 | 3;
    /** Bytes of writes held in memory before they become a table; the log rotates with it. */
    writeBufferSize?: number;
  }

  export interface Range {
    gte?: Uint8Array;
    lt?: Uint8Array;
    reverse?: boolean;
    limit?: number;
    /** Entries fetched per call into the library. */
    capacity?: number;
  }

  /** `flush` applies the whole batch atomically, and does not wait for the disk. */
  export interface WriteBatch {
    tryPut(key: Uint8Array, value: Uint8Array): void;
    tryDelete(key: Uint8Array): void;
    tryDeleteRange(gte: Uint8Array, lt: Uint8Array): void;
    flush(): Promise<void>;
  }

  export interface ReadBatch {
    get(key: Uint8Array): Promise<Uint8Array | null>;
    flush(): Promise<void>;
    destroy(): void;
  }

  export interface Iterator extends AsyncIterable<{ key: Uint8Array; value: Uint8Array }> {
    destroy(): void;
  }

  export default class RocksDB {
    constructor(path: string, options?: Options);
    ready(): Promise<void>;
    close(): Promise<void>;
    read(options?: { capacity?: number; autoDestroy?: boolean }): ReadBatch;
    write(options?: { capacity?: number; autoDestroy?: boolean }): WriteBatch;
    iterator(range?: Range): Iterator;
    /** `path` is relative to the database folder. The number grows with each new log file. */
    currentWalFile(): Promise<{ path: string; number: number }>;
  }
}
