import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { env, execPath } from 'node:process';
import { after, before, describe, it } from 'node:test';
import { deflateRawSync } from 'node:zlib';
import { repositoryPath } from '#test/helpers/repository.ts';
import { tempDir } from '#test/helpers/temp-dir.ts';

const { fetchWheel } = await import(repositoryPath('worker/deploy/fetch-pinned.mjs'));
const { unzip } = await import(repositoryPath('worker/deploy/unzip.mjs'));

const FILE = 'some_project-1.0-py3-none-any.whl';
const TEXT = 'the same line again and again\n'.repeat(50);
/** As a wheel is: one file packed, one stored. */
const WHEEL = zip([
  { name: 'some/packed.txt', method: 8, content: Buffer.from(TEXT) },
  { name: 'some/stored.txt', method: 0, content: Buffer.from('stored') },
  { name: 'other/left.txt', method: 0, content: Buffer.from('not wanted') },
]);
const sha256 = createHash('sha256').update(WHEEL).digest('hex');
const wheel = { project: 'some-project', version: '1.0', file: FILE, bytes: WHEEL.length, sha256 };

describe('set-up of TensorFlow', () => {
  /** A Python index (PEP 691) with one project. */
  const server = createServer((request, response) => {
    const page = JSON.stringify({ files: [{ filename: FILE, url: `../../files/${FILE}` }] });
    if (request.url === `/files/${FILE}`) response.end(WHEEL);
    else if (request.url === '/simple/some-project/') response.end(page);
    else response.writeHead(404).end();
  });
  const kept = { PATH: env.PATH, PIP_INDEX_URL: env.PIP_INDEX_URL };
  before(async () => {
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    // No pip, which would ask where it is configured to.
    env.PATH = '';
    env.PIP_INDEX_URL = `http://127.0.0.1:${(server.address() as AddressInfo).port}/simple`;
  });
  after(() => {
    server.close();
    for (const [name, value] of Object.entries(kept)) {
      if (value === undefined) delete env[name];
      else env[name] = value;
    }
  });

  it('fetches a wheel from the index and takes out of it what is wanted', async () => {
    const folder = await tempDir();
    const path = await fetchWheel(wheel, folder);
    assert.deepEqual(await readFile(path), WHEEL);
    const names = await unzip(path, join(folder, 'out'), (name: string) => name.startsWith('some/'));
    assert.deepEqual(names, ['some/packed.txt', 'some/stored.txt']);
    assert.equal(await readFile(join(folder, 'out/some/packed.txt'), 'utf8'), TEXT);
    assert.equal(await readFile(join(folder, 'out/some/stored.txt'), 'utf8'), 'stored');
  });

  it('takes a wheel that lies there already', async () => {
    const folder = await tempDir();
    await writeFile(join(folder, FILE), WHEEL);
    const nowhere = { ...wheel, project: 'unknown' };
    assert.equal(await fetchWheel(nowhere, folder), join(folder, FILE));
  });

  it('refuses a wheel with another hash, and keeps nothing of it', async () => {
    const folder = await tempDir();
    await assert.rejects(
      fetchWheel({ ...wheel, sha256: '00'.repeat(32) }, folder),
      /there is no pip; expected SHA-256 00/,
    );
    await assert.rejects(readFile(join(folder, FILE)), { code: 'ENOENT' });
  });

  it('says what it lacks', async () => {
    const folder = await tempDir();
    await assert.rejects(fetchWheel({ ...wheel, project: 'unknown' }, folder), /answered 404/);
    const script = repositoryPath('worker/deploy/setup-tensorflow.mjs');
    const wrong = spawnSync(execPath, [script, '--gpu'], { encoding: 'utf8' });
    assert.deepEqual([wrong.status, wrong.stderr], [1, '--gpu: expected nothing, or --cuda\n']);
  });
});

interface Entry {
  readonly name: string;
  readonly method: number;
  readonly content: Buffer;
}

/** A zip archive without the sums, which are not read. */
function zip(entries: readonly Entry[]): Buffer {
  const files: Buffer[] = [];
  const directory: Buffer[] = [];
  let at = 0;
  for (const { name, method, content } of entries) {
    const data = method === 8 ? deflateRawSync(content) : content;
    const local = Buffer.alloc(30);
    local.writeUInt32LE(0x04034b50);
    local.writeUInt16LE(name.length, 26);
    const entry = Buffer.alloc(46);
    entry.writeUInt32LE(0x02014b50);
    entry.writeUInt16LE(method, 10);
    entry.writeUInt32LE(data.length, 20);
    entry.writeUInt16LE(name.length, 28);
    entry.writeUInt32LE(at, 42);
    files.push(local, Buffer.from(name), data);
    directory.push(entry, Buffer.from(name));
    at += local.length + name.length + data.length;
  }
  const end = Buffer.alloc(22);
  end.writeUInt32LE(0x06054b50);
  end.writeUInt32LE(Buffer.concat(directory).length, 12);
  end.writeUInt32LE(at, 16);
  return Buffer.concat([...files, ...directory, end]);
}
