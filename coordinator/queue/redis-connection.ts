import { Redis } from 'ioredis';
import { toHex } from '#shared/crypto/bytes.ts';
import { PoolError } from '#shared/errors/pool-error.ts';

/** Exactly one of the two: `redis://…` or `rediss://…`, or the path of a unix socket. */
export interface RedisConnection {
  readonly url?: string;
  readonly path?: string;
}

export interface RedisLogger {
  info(message: string, fields?: Record<string, unknown>): void;
  warn(message: string, fields?: Record<string, unknown>): void;
}

const CONNECT_TIMEOUT_MS = 2_000;
const COMMAND_TIMEOUT_MS = 3_000;

/** Where Redis is, fit for logs: no user name, no password. */
export function describeRedis({ url, path }: RedisConnection): string {
  if (path !== undefined) return `unix:${path}`;
  const parsed = URL.canParse(url ?? '') ? new URL(url as string) : undefined;
  if (parsed === undefined || !/^rediss?:$/.test(parsed.protocol)) {
    throw new PoolError('REDIS', 'REDIS_URL: expected redis://[user:password@]host:port[/database]');
  }
  return `${parsed.protocol}//${parsed.host}${parsed.pathname}`;
}

export interface LastingOptions {
  readonly commandTimeout: number;
  /** Null: a command waits for as long as its timeout says. */
  readonly maxRetriesPerRequest: number | null;
  /** False: a command is refused at once while there is no connection. */
  readonly enableOfflineQueue?: boolean;
}

/** What the keys of a network begin with, so that pools can share a Redis. */
export const redisPrefix = (networkId: Uint8Array): string => `aiblock-${toHex(networkId).slice(0, 16)}`;

/** A connection that lasts, and is made again whenever it is lost. Its errors are those of its commands. */
export function openRedis({ url, path }: RedisConnection, options: LastingOptions): Redis {
  const settings = { ...options, retryStrategy: (times: number) => Math.min(50 * times, 1_000) };
  const redis = path === undefined ? new Redis(url as string, settings) : new Redis({ ...settings, path });
  // Without a listener an error ends the process.
  redis.on('error', () => undefined);
  return redis;
}

/** Opens a connection for a few commands and closes it: one attempt, no waiting queue. Errors: REDIS. */
export async function withRedis<T>(
  connection: RedisConnection,
  use: (redis: Redis) => Promise<T>,
): Promise<T> {
  const where = describeRedis(connection);
  const options = {
    lazyConnect: true,
    enableReadyCheck: false,
    retryStrategy: () => null,
    maxRetriesPerRequest: 0,
    connectTimeout: CONNECT_TIMEOUT_MS,
    commandTimeout: COMMAND_TIMEOUT_MS,
  };
  const redis =
    connection.path === undefined
      ? new Redis(connection.url as string, options)
      : new Redis({ ...options, path: connection.path });
  let failure: Error | undefined;
  redis.on('error', (error: Error) => {
    failure = error;
  });
  try {
    await redis.connect();
    return await use(redis);
  } catch (error) {
    if (error instanceof PoolError) throw error;
    const cause = failure ?? (error as Error);
    throw new PoolError('REDIS', `Redis at ${where}: ${cause.message}`, {}, { cause });
  } finally {
    redis.disconnect();
  }
}

/**
 * Refuses (REDIS) a Redis that may throw queued jobs away when its memory is full, and warns of one that
 * forgets them in a restart. Needs no more than INFO, which managed services allow.
 */
export async function checkRedis(connection: RedisConnection, logger: RedisLogger): Promise<void> {
  const info = await withRedis(connection, (redis) => redis.info());
  const where = describeRedis(connection);
  const policy = fieldOf(info, 'maxmemory_policy');
  if (policy !== 'noeviction') {
    throw new PoolError(
      'REDIS',
      `Redis at ${where}: expected maxmemory-policy noeviction, got ${policy ?? 'no answer'}: it would throw ` +
        'queued jobs away when its memory is full. Set `maxmemory-policy noeviction` in its configuration',
      { policy: policy ?? null },
    );
  }
  if (fieldOf(info, 'aof_enabled') !== '1') {
    logger.warn(
      `Redis at ${where} has no append-only file: a restart of it forgets what is queued, until the ` +
        'coordinator queues it again. Set `appendonly yes` in its configuration',
    );
  }
}

/** A field of the text that INFO gives: lines of `name:value`. */
export function fieldOf(info: string, name: string): string | undefined {
  return new RegExp(`^${name}:(.*?)\\r?$`, 'm').exec(info)?.[1];
}
