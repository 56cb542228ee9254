import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { cp, mkdir, readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { execPath } from 'node:process';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { bucketKey } from '#coordinator/store/keys.ts';
import { put } from '#coordinator/store/kv.ts';
import { openRocksKv } from '#coordinator/store/rocks-kv.ts';
import { PoolError } from '#shared/errors/pool-error.ts';
import { tempDir } from '#test/helpers/temp-dir.ts';

const dir = await tempDir();
const BATCHES = 50;

/** A copy of a store as a killed process leaves it: fifty acknowledged batches, all still in the log. */
async function killedStore(name: string): Promise<string> {
  const live = await openRocksKv(join(dir, 'live', name));
  for (let n = 0; n < BATCHES; n++) {
    await live.batch([put(bucketKey(0x10, n), new Uint8Array(500).fill(n))], { durable: true });
  }
  const copy = join(dir, name);
  await cp(join(dir, 'live', name), copy, { recursive: true, filter: (path) => !/LOCK$|lock$/.test(path) });
  await live.close();
  return copy;
}

async function dbFile(store: string, ending: RegExp): Promise<string> {
  const name = (await readdir(join(store, 'db')))
    .filter((file) => ending.test(file))
    .sort()
    .at(-1);
  assert.ok(name, `no file ${ending}`);
  return join(store, 'db', name);
}

async function flipBit(path: string, at: (bytes: number) => number): Promise<void> {
  const bytes = await readFile(path);
  const index = at(bytes.length);
  bytes[index] = (bytes[index] as number) ^ 1;
  await writeFile(path, bytes);
}

const CORRUPT = { code: 'STORE_CORRUPT', message: /Restore a backup .* `aiblock init`/ };

describe('a damaged store', () => {
  it('opens with every batch when only the process died', async () => {
    const kv = await openRocksKv(await killedStore('whole'));
    for (let n = 0; n < BATCHES; n++) assert.equal((await kv.get(bucketKey(0x10, n)))?.[0], n);
    await kv.close();
  });

  it('STORE_CORRUPT: a flipped bit at the start, in the middle, or at the end of the log', async () => {
    for (const part of [0.1, 0.5, 0.999]) {
      const store = await killedStore(`bit-${part}`);
      await flipBit(await dbFile(store, /\.log$/), (bytes) => Math.floor(bytes * part));
      await assert.rejects(openRocksKv(store), CORRUPT, `at ${part}`);
    }
  });

  it('STORE_CORRUPT: the log lost its acknowledged tail, or is gone', async () => {
    const cut = await killedStore('cut');
    await truncate(await dbFile(cut, /\.log$/), 10_000);
    await assert.rejects(openRocksKv(cut), { ...CORRUPT, message: /50 durable writes were acknowledged/ });
    const gone = await killedStore('gone');
    await rm(await dbFile(gone, /\.log$/));
    await assert.rejects(openRocksKv(gone), CORRUPT);
  });

  it('opens with a torn tail that nobody was promised', async () => {
    const store = await killedStore('torn');
    const log = await dbFile(store, /\.log$/);
    const bytes = await readFile(log);
    await writeFile(log, Buffer.concat([bytes, bytes.subarray(0, 300)]));
    const kv = await openRocksKv(store);
    assert.equal((await kv.get(bucketKey(0x10, BATCHES - 1)))?.[0], BATCHES - 1);
    await kv.close();
  });

  it('STORE_CORRUPT: a flipped bit in a table, a deleted table, manifest, database or mark', async () => {
    const store = await killedStore('closed');
    await (await openRocksKv(store)).close(); // recovery turns the log into a table
    const spoiled = async (name: string, spoil: (copy: string) => Promise<void>) => {
      const copy = join(dir, `closed-${name}`);
      await cp(store, copy, { recursive: true });
      await spoil(copy);
      const use = async () => {
        const kv = await openRocksKv(copy);
        try {
          for (let n = 0; n < BATCHES; n++) await kv.get(bucketKey(0x10, n));
        } finally {
          await kv.close();
        }
      };
      await assert.rejects(use(), CORRUPT, name);
    };
    await spoiled('table-bit', async (copy) => flipBit(await dbFile(copy, /\.sst$/), () => 700));
    await spoiled('table', async (copy) => rm(await dbFile(copy, /\.sst$/)));
    await spoiled('manifest', async (copy) => rm(await dbFile(copy, /^MANIFEST/)));
    await spoiled('manifest-bit', async (copy) => flipBit(await dbFile(copy, /^MANIFEST/), (n) => n >> 1));
    await spoiled('db', (copy) => rm(join(copy, 'db'), { recursive: true }));
    await spoiled('mark', (copy) => rm(join(copy, 'mark')));
    await spoiled('mark-bits', (copy) => writeFile(join(copy, 'mark'), new Uint8Array(5000)));
  });

  it('survives one torn record of the mark', async () => {
    const store = await killedStore('mark-torn');
    await flipBit(join(store, 'mark'), () => 12); // the slot of even numbers holds the newest, 50
    await (await openRocksKv(store)).close();
  });

  it('STORE_VERSION: a folder of another format', async () => {
    const store = await killedStore('version');
    const { createHash } = await import('node:crypto');
    const record = Buffer.from('aiblkkv\x02\0\0\0\0\0\0\0\x01', 'latin1');
    const sum = createHash('sha256').update(record).digest().subarray(0, 8);
    await writeFile(join(store, 'mark'), Buffer.concat([record, sum]));
    await assert.rejects(openRocksKv(store), { code: 'STORE_VERSION' });
  });

  it('STORE_LOCKED: the folder is in use', async () => {
    const store = join(dir, 'busy');
    const kv = await openRocksKv(store);
    await assert.rejects(openRocksKv(store), { code: 'STORE_LOCKED' });
    // Where the pid lock cannot see the holder (another container), RocksDB's own lock still does.
    await rm(join(store, 'lock'));
    await assert.rejects(openRocksKv(store), { code: 'STORE_LOCKED' });
    await kv.close();
    await (await openRocksKv(store)).close();
  });

  it('STORE_IO: a place where no folder can be', async () => {
    await writeFile(join(dir, 'file'), '');
    await assert.rejects(openRocksKv(join(dir, 'file', 'store')), { code: 'STORE_IO' });
  });

  it('STORE_IO: the disk is full; what was acknowledged is there afterwards', async () => {
    const store = join(dir, 'full');
    await mkdir(store);
    const filler = fileURLToPath(import.meta.resolve('#test/helpers/kv-filler.ts'));
    // A file size limit is what a full disk is to a program without needing a small disk.
    const script = 'trap "" XFSZ; ulimit -f 4096; exec "$0" --import tsx "$1" "$2"';
    const { stdout, stderr } = spawnSync('bash', ['-c', script, execPath, filler, store], {
      encoding: 'utf8',
    });
    const { acknowledged, code } = JSON.parse(stdout || '{}') as { acknowledged?: number; code?: string };
    assert.equal(code, 'STORE_IO', stderr);
    assert.ok(acknowledged !== undefined && acknowledged > 0);
    const kv = await openRocksKv(store);
    for (let n = 0; n < acknowledged; n++) assert.equal((await kv.get(bucketKey(0x10, n)))?.[0], n & 0xff);
    await kv.close();
  });

  it('names the code of whatever RocksDB throws', async () => {
    const { ioError } = await import('#coordinator/store/io-error.ts');
    assert.equal(ioError(new Error('Read-only file system'), 'x').code, 'STORE_IO');
    assert.match(ioError(new Error('No space left on device'), 'x').message, /free some space/);
    const kept = new PoolError('NOT_FOUND', 'x');
    assert.equal(ioError(kept, 'y'), kept);
  });
});
