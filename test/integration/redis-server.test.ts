import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, rm, stat, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { execPath, kill } from 'node:process';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { checkRedis, fieldOf, withRedis } from '#coordinator/queue/redis-connection.ts';
import { type RedisServer, startRedis } from '#coordinator/queue/redis-server.ts';
import { tempDir } from '#test/helpers/temp-dir.ts';
import { skipWithout } from '#test/helpers/tools.ts';

const root = await tempDir();
const messages: string[] = [];
const logger = { info: (text: string) => messages.push(text), warn: (text: string) => messages.push(text) };
const folder = (name: string) => join(root, name);
const pidOf = async ({ connection }: Pick<RedisServer, 'connection'>) =>
  Number(fieldOf(await withRedis(connection, (redis) => redis.info('server')), 'process_id'));
const isAlive = (pid: number) => {
  try {
    return kill(pid, 0);
  } catch {
    return false;
  }
};

async function eventually<T>(what: () => Promise<T>): Promise<T> {
  for (let i = 0; ; i++) {
    try {
      return await what();
    } catch (error) {
      if (i === 250) throw error;
      await sleep(20);
    }
  }
}

const skip = skipWithout('redis-server');

describe('a private redis-server', { skip }, () => {
  it('keeps what it holds from one start to the next, on a socket only', async () => {
    const first = await startRedis({ dataDir: folder('a'), logger });
    await checkRedis(first.connection, logger);
    const [, policy] = await withRedis(first.connection, async (redis) => {
      await redis.set('key', 'value');
      assert.deepEqual(await redis.config('GET', 'port'), ['port', '0']);
      assert.deepEqual(await redis.config('GET', 'appendonly'), ['appendonly', 'yes']);
      return (await redis.config('GET', 'maxmemory-policy')) as string[];
    });
    assert.equal(policy, 'noeviction');
    assert.equal((await stat(folder('a/redis'))).mode & 0o777, 0o700);
    const pid = await pidOf(first);
    await first.close();
    await first.close();
    assert.equal(isAlive(pid), false);
    const second = await startRedis({ dataDir: folder('a'), logger });
    assert.equal(await withRedis(second.connection, (redis) => redis.get('key')), 'value');
    await second.close();
  });

  it('STORE_LOCKED: a second one in the same folder', async () => {
    const first = await startRedis({ dataDir: folder('b'), logger });
    await assert.rejects(startRedis({ dataDir: folder('b'), logger }), { code: 'STORE_LOCKED' });
    assert.equal(await withRedis(first.connection, (redis) => redis.ping()), 'PONG');
    await first.close();
  });

  it('comes back by itself when it is killed', async () => {
    const server = await startRedis({ dataDir: folder('c'), logger });
    const pid = await pidOf(server);
    kill(pid, 'SIGKILL');
    const next = await eventually(async () => {
      const found = await pidOf(server);
      assert.notEqual(found, pid);
      return found;
    });
    await server.close();
    assert.equal(isAlive(next), false);
  });

  it('takes the place of one whose coordinator was killed, also of a frozen one', async () => {
    const starter = fileURLToPath(import.meta.resolve('#test/helpers/redis-starter.ts'));
    for (const freeze of [false, true]) {
      const child = spawn(execPath, ['--import', 'tsx', starter, folder('d')], {
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      const [line] = (await once(child.stdout, 'data')) as [Buffer];
      const orphan = Number(line.toString());
      child.kill('SIGKILL');
      await once(child, 'exit');
      assert.ok(isAlive(orphan));
      if (freeze) kill(orphan, 'SIGSTOP');
      const server = await startRedis({ dataDir: folder('d'), logger });
      assert.notEqual(await pidOf(server), orphan);
      assert.equal(isAlive(orphan), false);
      assert.equal(await withRedis(server.connection, (redis) => redis.get('left')), 'behind');
      await server.close();
    }
  });

  it('finds a short place for its socket where the data folder has a long path', async () => {
    const server = await startRedis({ dataDir: folder('e'.repeat(120)), logger });
    const path = server.connection.path as string;
    assert.ok(Buffer.byteLength(path) <= 100);
    assert.equal((await stat(join(path, '..'))).mode & 0o777, 0o700);
    await server.close();
    await rm(join(path, '..'), { recursive: true });
  });

  it('REDIS: names the three ways on where there is no redis-server', async () => {
    await assert.rejects(startRedis({ dataDir: folder('f'), logger, program: 'redis-server-none' }), {
      code: 'REDIS',
      message: /apt-get install redis-server.*REDIS_URL.*docker compose up/s,
    });
  });

  it('REDIS: shows why it ended at its start', async () => {
    const aof = folder('g/redis/appendonlydir');
    await mkdir(aof, { recursive: true });
    await writeFile(join(aof, 'appendonly.aof.manifest'), 'nonsense');
    await assert.rejects(startRedis({ dataDir: folder('g'), logger }), {
      code: 'REDIS',
      message: /ended at its start.*move the folder.*manifest/s,
    });
  });
});

describe('an external Redis', { skip }, () => {
  let port = 0;
  let child: ReturnType<typeof spawn>;

  before(async () => {
    port = await freePort();
    const settings = ['--port', `${port}`, '--bind', '127.0.0.1', '--save', '', '--dir', root];
    child = spawn('redis-server', settings, { stdio: 'ignore' });
    await eventually(() => withRedis({ url: `redis://127.0.0.1:${port}` }, (redis) => redis.ping()));
  });
  after(async () => {
    child.kill('SIGTERM');
    await once(child, 'exit');
  });

  it('is named without its password, and left running', async () => {
    const url = `redis://user:secret@127.0.0.1:${port}/2`;
    const server = await startRedis({ redisUrl: url, dataDir: root, logger });
    assert.deepEqual(server.connection, { url });
    assert.equal(server.describe, `redis://127.0.0.1:${port}/2`);
    await server.close();
    assert.equal(await withRedis({ url: `redis://127.0.0.1:${port}` }, (redis) => redis.ping()), 'PONG');
  });

  it('is warned of without an append-only file, and refused (REDIS) when it may evict', async () => {
    const connection = { url: `redis://127.0.0.1:${port}` };
    messages.length = 0;
    await checkRedis(connection, logger);
    assert.match(messages.join(), /no append-only file/);
    await withRedis(connection, (redis) => redis.config('SET', 'maxmemory-policy', 'allkeys-lru'));
    await assert.rejects(checkRedis(connection, logger), {
      code: 'REDIS',
      message: /noeviction, got allkeys-lru/,
    });
  });

  it('REDIS: is not there, or is not an address', async () => {
    const url = `redis://127.0.0.1:${await freePort()}`;
    await assert.rejects(checkRedis({ url }, logger), { code: 'REDIS', message: /ECONNREFUSED/ });
    for (const bad of ['localhost', 'http://localhost']) {
      await assert.rejects(startRedis({ redisUrl: bad, dataDir: root, logger }), { code: 'REDIS' });
    }
  });
});

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  server.close();
  return port;
}
