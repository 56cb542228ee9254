import { createHash } from 'node:crypto';
import { chmod, lstat, mkdir, readFile, readlink, realpath, rm } from 'node:fs/promises';
import { tmpdir, userInfo } from 'node:os';
import { join, resolve } from 'node:path';
import { kill } from 'node:process';
import { setTimeout as sleep } from 'node:timers/promises';
import { acquirePidLock, type PidLock } from '#coordinator/store/pid-lock.ts';
import { must, PoolError } from '#shared/errors/pool-error.ts';
import { RedisChild } from './redis-child.ts';
import {
  describeRedis,
  fieldOf,
  type RedisConnection,
  type RedisLogger,
  withRedis,
} from './redis-connection.ts';

export interface RedisServerOptions {
  /** Set: that Redis is used, and nothing is started. */
  readonly redisUrl?: string | undefined;
  /** The private Redis keeps its files in `dataDir/redis`. */
  readonly dataDir: string;
  readonly logger: RedisLogger;
  /** Name or path of the program, `redis-server` unless given. */
  readonly program?: string;
}

export interface RedisServer {
  readonly connection: RedisConnection;
  /** For people and logs: where it is, without secrets. */
  readonly describe: string;
  /** Ends the private Redis; an external one is left alone. Idempotent. */
  close(): Promise<void>;
}

/** The kernel takes 107 bytes on Linux and 103 on macOS. */
const SOCKET_PATH_MAX_BYTES = 100;
const ORPHAN_STOP_TIMEOUT_MS = 5_000;
const POLL_MS = 20;

/**
 * Makes a Redis available: the one at `redisUrl` (not contacted here: see checkRedis), or else a private
 * `redis-server` from the PATH, reachable through a unix socket only. One that a killed coordinator left
 * behind is ended first. Errors: REDIS; STORE_LOCKED if a living process has its Redis in this folder.
 */
export async function startRedis(options: RedisServerOptions): Promise<RedisServer> {
  if (options.redisUrl !== undefined) {
    const connection = { url: options.redisUrl };
    return { connection, describe: describeRedis(connection), close: async () => {} };
  }
  const dir = join(resolve(options.dataDir), 'redis');
  const lock = await acquirePidLock(dir, 'owner.lock');
  try {
    return await startPrivate(options, dir, lock);
  } catch (error) {
    await lock.release();
    throw error;
  }
}

async function startPrivate(options: RedisServerOptions, dir: string, lock: PidLock): Promise<RedisServer> {
  const { logger, program = 'redis-server' } = options;
  await chmod(dir, 0o700);
  const path = await socketPathFor(dir);
  await endOrphan({ dir, socketPath: path, logger });
  const child = new RedisChild({ program, dir, socketPath: path, logger });
  await child.start();
  logger.info('redis-server started', { pid: child.pid, socket: path });
  const close = async () => {
    await child.stop();
    await lock.release();
  };
  let closed: Promise<void> | undefined;
  return {
    connection: { path },
    describe: `private redis-server on ${describeRedis({ path })}`,
    close: () => {
      closed ??= close();
      return closed;
    },
  };
}

/** In the folder itself, or where that is too long, in a private folder whose name follows from it. */
async function socketPathFor(dir: string): Promise<string> {
  const path = join(dir, 'redis.sock');
  if (Buffer.byteLength(path) <= SOCKET_PATH_MAX_BYTES) return path;
  const { uid } = userInfo();
  const name = createHash('sha256').update(dir).digest('hex').slice(0, 16);
  const folder = join(tmpdir(), `aiblock-${uid}-${name}`);
  await mkdir(folder, { mode: 0o700 }).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'EEXIST') throw error;
  });
  const entry = await lstat(folder);
  const isPrivate = entry.isDirectory() && entry.uid === uid && (entry.mode & 0o077) === 0;
  must(isPrivate, 'REDIS', `${folder}: expected a folder that only this user can enter; remove it`);
  return join(folder, 'redis.sock');
}

interface Place {
  readonly dir: string;
  readonly socketPath: string;
  readonly logger: RedisLogger;
}

/** We hold the folder's lock, so whoever listens on its socket has lost its coordinator. */
async function endOrphan(place: Place): Promise<void> {
  const pid = await orphanPid(place);
  if (pid !== undefined) {
    place.logger.warn('ending the redis-server that a killed coordinator left behind', { pid });
    kill(pid, 'SIGTERM');
    if (!(await gone(pid))) kill(pid, 'SIGKILL');
    must(await gone(pid), 'REDIS', `redis-server ${pid} of a killed coordinator cannot be ended`, { pid });
  }
  await rm(place.socketPath, { force: true });
}

/** By its own answer; or, where it does not answer any more, by its pid file and its working folder. */
async function orphanPid({ dir, socketPath }: Place): Promise<number | undefined> {
  const answered = await withRedis({ path: socketPath }, (redis) => redis.info('server')).then(
    (info) => Number(fieldOf(info, 'process_id')),
    () => undefined,
  );
  if (answered !== undefined) return answered;
  const noted = Number(await readFile(join(dir, 'redis.pid'), 'utf8').catch(() => ''));
  if (!Number.isSafeInteger(noted) || noted <= 1) return undefined;
  const folder = await readlink(`/proc/${noted}/cwd`).catch(() => undefined);
  const program = await readFile(`/proc/${noted}/comm`, 'utf8').catch(() => '');
  return folder === (await realpath(dir)) && program.startsWith('redis-server') ? noted : undefined;
}

/** Whether the process ended in time. */
async function gone(pid: number): Promise<boolean> {
  const deadline = performance.now() + ORPHAN_STOP_TIMEOUT_MS;
  while (performance.now() < deadline) {
    try {
      kill(pid, 0);
    } catch (cause) {
      if ((cause as NodeJS.ErrnoException).code === 'ESRCH') return true;
      throw new PoolError('REDIS', `redis-server ${pid} belongs to another user`, { pid }, { cause });
    }
    await sleep(POLL_MS);
  }
  return false;
}
