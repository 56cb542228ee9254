/** A coordinator to be killed: starts a private Redis in argv[2], prints its pid, and stays. */
import { argv } from 'node:process';
import { fieldOf, withRedis } from '#coordinator/queue/redis-connection.ts';
import { startRedis } from '#coordinator/queue/redis-server.ts';

const logger = { info: () => {}, warn: () => {} };
const { connection } = await startRedis({ dataDir: argv[2] as string, logger });
const info = await withRedis(connection, async (redis) => {
  await redis.set('left', 'behind');
  return redis.info('server');
});
console.log(fieldOf(info, 'process_id'));
setInterval(() => {}, 60_000);
