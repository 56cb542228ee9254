import { setTimeout as sleep } from 'node:timers/promises';
import type { Redis } from 'ioredis';
import { openRedis, type RedisConnection } from '#coordinator/queue/redis-connection.ts';

export interface RedisWireOptions {
  /** Redis key prefix: the network's, as for the queue. */
  readonly prefix: string;
  /** Name under which others reach this end. */
  readonly name: string;
  readonly onText: (text: string) => void;
}

/** A slow Redis is still one; a wire whose command takes longer is written to, or read from, anew. */
const COMMAND_TIMEOUT_MS = 2_500;
const BLOCK_MS = 500;
const RETRY_MS = 100;
const ENTRIES_AT_ONCE = 100;
const TRIM_MS = 1_000;
/** Nobody reads the stream of a process that is gone. */
const FORGET_SECONDS = 60;
/** Only calls of a gateway whose core is away may gather; a link that is not read ends long before. */
const MAX_ENTRIES = 10_000;

/**
 * Texts in order between processes that share a Redis: one stream for each receiver, which reads from where it began
 * and trims what it has read. What Redis loses in a crash is lost; that it is, the users find by their numbers.
 */
export class RedisWire {
  readonly #options: RedisWireOptions;
  readonly #writer: Redis;
  readonly #reader: Redis;
  #last: string | undefined;
  #trimmedMs = performance.now();
  #closed = false;
  readonly #reading: Promise<void>;

  constructor(connection: RedisConnection, options: RedisWireOptions) {
    this.#options = options;
    // Nothing waits in here for a Redis that is away: who writes knows best whether to write again.
    const settings = {
      commandTimeout: COMMAND_TIMEOUT_MS,
      enableOfflineQueue: false,
      maxRetriesPerRequest: 0,
    };
    this.#writer = openRedis(connection, settings);
    this.#reader = openRedis(connection, settings);
    this.#reading = this.#readAll();
  }

  /** Resolves when Redis has it. Where it rejects, Redis may have it all the same. */
  async send(to: string, text: string): Promise<void> {
    const key = this.#key(to);
    const results = await this.#writer
      .pipeline()
      .xadd(key, 'MAXLEN', '~', MAX_ENTRIES, '*', 'text', text)
      .expire(key, FORGET_SECONDS)
      .exec();
    const error = results?.[0]?.[0];
    if (error) throw error;
  }

  async ping(): Promise<void> {
    await this.#writer.ping();
  }

  /** Idempotent. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#writer.disconnect();
    this.#reader.disconnect();
    await this.#reading;
  }

  async #readAll(): Promise<void> {
    while (!this.#closed)
      try {
        await this.#readSome();
      } catch {
        await sleep(RETRY_MS);
      }
  }

  async #readSome(): Promise<void> {
    const key = this.#key(this.#options.name);
    this.#last ??= await this.#newest(key);
    const found = await this.#reader.xread(
      ...(['COUNT', ENTRIES_AT_ONCE, 'BLOCK', BLOCK_MS, 'STREAMS', key, this.#last] as const),
    );
    for (const [id, fields] of found?.[0]?.[1] ?? []) {
      this.#last = id;
      this.#options.onText(fields[1] as string);
    }
    if (performance.now() - this.#trimmedMs < TRIM_MS) return;
    this.#trimmedMs = performance.now();
    await this.#writer.xtrim(key, 'MINID', '~', this.#last);
  }

  /** What was written before this end existed is for another. */
  async #newest(key: string): Promise<string> {
    const [entry] = await this.#reader.xrevrange(key, '+', '-', 'COUNT', 1);
    return entry?.[0] ?? '0-0';
  }

  #key(name: string): string {
    return `${this.#options.prefix}:link:${name}`;
  }
}
