import { randomBytes } from 'node:crypto';
import type { Log } from '#coordinator/log.ts';
import type { Closers } from '#coordinator/open/closers.ts';
import type { CoordinatorOptions } from '#coordinator/options.ts';
import { EvaluationQueue } from '#coordinator/queue/evaluation-queue.ts';
import { checkRedis, redisPrefix } from '#coordinator/queue/redis-connection.ts';
import { startRedis } from '#coordinator/queue/redis-server.ts';

interface QueueContext {
  readonly networkId: Uint8Array;
  readonly log: Log;
  readonly closers: Closers;
}

/** Redis, a private one where none is named, and the queue in it. What was opened stands in `closers` at once. */
export async function openQueue(
  { redisUrl, dataDir, lockMs }: CoordinatorOptions,
  { networkId, log, closers }: QueueContext,
) {
  const logger = log.child('redis');
  const redis = await startRedis({ redisUrl, dataDir, logger });
  closers.push(() => redis.close());
  await checkRedis(redis.connection, logger);
  const prefix = redisPrefix(networkId);
  const gateway = randomBytes(8).toString('hex');
  const queue = await EvaluationQueue.open(redis.connection, { prefix, lockMs, gateway });
  closers.push(() => queue.close());
  log.info('Redis is ready', { redis: redis.describe });
  return { redis, prefix, queue };
}
