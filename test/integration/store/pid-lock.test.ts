import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pid } from 'node:process';
import { describe, it } from 'node:test';
import { acquirePidLock } from '#coordinator/store/pid-lock.ts';
import { PoolError } from '#shared/errors/pool-error.ts';
import { tempDir } from '#test/helpers/temp-dir.ts';

const dir = await tempDir();

describe('acquirePidLock', () => {
  it('STORE_LOCKED: names the process that holds it, until that one releases', async () => {
    const lock = await acquirePidLock(dir, 'a');
    await assert.rejects(acquirePidLock(dir, 'a'), { code: 'STORE_LOCKED', details: { pid } });
    await lock.release();
    await lock.release();
    await (await acquirePidLock(dir, 'a')).release();
    assert.deepEqual(await readdir(dir), []);
  });

  it('STORE_LOCKED: sees a lock of another living process', async () => {
    const child = spawn('sleep', ['60'], { stdio: 'ignore' });
    await once(child, 'spawn');
    await writeFile(join(dir, 'b'), JSON.stringify({ pid: child.pid, born: '' }));
    await assert.rejects(acquirePidLock(dir, 'b'), { code: 'STORE_LOCKED', details: { pid: child.pid! } });
    child.kill('SIGKILL');
    await once(child, 'exit');
    await (await acquirePidLock(dir, 'b')).release();
  });

  it('takes over from a dead process, a reused pid and a damaged file', async () => {
    const dead = spawnSync('true').pid;
    for (const content of [
      JSON.stringify({ pid: dead, born: '' }),
      JSON.stringify({ pid, born: 'another boot/1' }),
      'not json',
      '',
    ]) {
      await writeFile(join(dir, 'c'), content);
      const lock = await acquirePidLock(dir, 'c');
      assert.equal(JSON.parse(await readFile(join(dir, 'c'), 'utf8')).pid, pid);
      await lock.release();
    }
  });

  it('gives a stale lock to exactly one of many', async () => {
    await writeFile(join(dir, 'd'), JSON.stringify({ pid: spawnSync('true').pid, born: '' }));
    const results = await Promise.allSettled(Array.from({ length: 20 }, () => acquirePidLock(dir, 'd')));
    const won = results.filter((result) => result.status === 'fulfilled');
    const codes = results.flatMap((result) =>
      result.status === 'rejected' ? [PoolError.from(result.reason).code] : [],
    );
    assert.equal(won.length, 1);
    assert.deepEqual(new Set(codes), new Set(['STORE_LOCKED']));
    await won[0]?.value.release();
    assert.deepEqual(await readdir(dir), []);
  });

  it('STORE_IO: a folder that cannot be made', async () => {
    await writeFile(join(dir, 'file'), '');
    await assert.rejects(acquirePidLock(join(dir, 'file', 'x'), 'e'), { code: 'STORE_IO' });
  });
});
