import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdir, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeEach, it } from 'node:test';
import { tempDir } from '#test/helpers/temp-dir.ts';
import type { PayloadRequest } from '#worker/client/api-client.ts';
import { PayloadCache } from '#worker/client/payload-cache.ts';

/** An origin that counts, and can send something else. */
class Origin {
  readonly asked: { hash: string; bearer: string | undefined }[] = [];
  /** Where the line of the next calls breaks, in bytes from the payload's first. */
  readonly breaks: number[] = [];
  readonly payloads = new Map<string, Uint8Array>();

  add(text: string): string {
    const bytes = Buffer.from(text);
    const hash = createHash('sha256').update(bytes).digest('hex');
    this.payloads.set(hash, bytes);
    return hash;
  }

  async payload(hash: string, { bearer, start = 0 }: PayloadRequest): Promise<AsyncIterable<Uint8Array>> {
    this.asked.push({ hash, bearer });
    const bytes = this.payloads.get(hash) as Uint8Array;
    const end = this.breaks.shift();
    return (async function* () {
      yield bytes.subarray(start, start + 3);
      yield bytes.subarray(start + 3, end);
      if (end !== undefined) throw new TypeError('terminated');
    })();
  }
}

const root = await tempDir();
let dir: string;
let folders = 0;
let origin: Origin;
let nowMs: number;

beforeEach(async () => {
  dir = join(root, String(++folders));
  await mkdir(dir);
  origin = new Origin();
  nowMs = Date.now();
});

const open = (maxBytes = 1_000_000) => PayloadCache.open({ dir, maxBytes, now: () => nowMs }, origin);
const text = (bytes: Uint8Array) => Buffer.from(bytes).toString();

it('fetches once, keeps over a restart, passes the bearer on', async () => {
  const hash = origin.add('some weights');
  const cache = await open();
  const both = await Promise.all([cache.get(hash, { bearer: 'b' }), cache.get(hash, { bearer: 'b' })]);
  assert.deepEqual(both.map(text), ['some weights', 'some weights']);
  assert.equal(text(await (await open()).get(hash)), 'some weights');
  assert.deepEqual(origin.asked, [{ hash, bearer: 'b' }]);
});

it('fetches a damaged file anew', async () => {
  const hash = origin.add('some weights');
  const cache = await open();
  await cache.get(hash);
  await writeFile(join(dir, hash), 'some weightz');
  assert.equal(text(await cache.get(hash)), 'some weights');
  assert.equal(origin.asked.length, 2);
});

it('BLOCK_PAYLOAD for other bytes, and no file of them', async () => {
  const hash = origin.add('some weights');
  origin.payloads.set(hash, Buffer.from('other weights'));
  await assert.rejects((await open()).get(hash), { code: 'BLOCK_PAYLOAD' });
  assert.deepEqual(await readdir(dir), []);
});

it('BLOCK_PAYLOAD for more bytes than the tensor has', async () => {
  const hash = origin.add('some weights');
  await assert.rejects((await open()).get(hash, { maxBytes: 5 }), { code: 'BLOCK_PAYLOAD' });
  assert.deepEqual(await readdir(dir), []);
});

it('BAD_REQUEST for a name that is no hash', async () => {
  await assert.rejects((await open()).get('../secret'), { code: 'BAD_REQUEST' });
});

it('drops what was used longest ago when it outgrows its limit', async () => {
  const [a, b, c] = ['aaaaaaaaaa', 'bbbbbbbbbb', 'cccccccccc'].map((t) => origin.add(t)) as [
    string,
    string,
    string,
  ];
  const cache = await open(25);
  for (const hash of [a, b, a, c]) {
    nowMs += 10_000;
    await cache.get(hash);
  }
  assert.deepEqual((await readdir(dir)).sort(), [a, c].sort());
});

it('clears temporary files of a killed process, and leaves fresh ones alone', async () => {
  await writeFile(join(dir, 'x.tmp'), 'half');
  await open();
  assert.ok(await stat(join(dir, 'x.tmp')));
  nowMs += 2 * 3_600_000;
  await open();
  assert.deepEqual(await readdir(dir), []);
});

it('takes a broken line up again where it broke, and gives up after the third', async () => {
  const hash = origin.add('some weights that take long');
  origin.breaks.push(6, 9);
  assert.equal(text(await (await open()).get(hash)), 'some weights that take long');
  assert.equal(origin.asked.length, 3);
  const other = origin.add('weights on a very bad line');
  origin.breaks.push(6, 9, 12);
  await assert.rejects((await open()).get(other), { code: 'UNAVAILABLE' });
});

it('opens a payload that is read in pieces, even after it was dropped', async () => {
  const hash = origin.add('some weights');
  const cache = await open();
  const file = await cache.open(hash);
  await rm(join(dir, hash));
  const into = new Uint8Array(7);
  await file.read(into, 5);
  assert.deepEqual([text(into), file.bytes], ['weights', 12]);
  await assert.rejects(file.read(into, 6), { code: 'STORE_IO' });
  await file.close();
});

it('hashes a file once a process, and again when it was changed', async () => {
  const hash = origin.add('some weights');
  await (await open()).get(hash);
  const cache = await open();
  const stamps = new Set<string>();
  for (let i = 0; i < 3; i++) {
    const file = await cache.open(hash);
    stamps.add(file.stamp);
    await file.close();
    nowMs += 5_000;
  }
  assert.equal(stamps.size, 1, 'using a file leaves the time of its last change');
  await writeFile(join(dir, hash), 'sOme weights');
  assert.equal(text(await cache.get(hash)), 'some weights');
  assert.equal(origin.asked.length, 2);
});

it('shares one folder between processes: what one fetched the other has, and dropping disturbs no reader', async () => {
  const [a, b] = ['aaaaaaaaaa', 'bbbbbbbbbb'].map((t) => origin.add(t)) as [string, string];
  const [one, other] = [await open(15), await open(15)];
  await one.get(a);
  assert.equal(text(await other.get(a)), 'aaaaaaaaaa');
  assert.equal(origin.asked.length, 1);
  const file = await one.open(a);
  nowMs += 10_000;
  await Promise.all([one.get(b), other.get(b)]);
  assert.deepEqual(await readdir(dir), [b], 'the folder is within its limit');
  const into = new Uint8Array(10);
  await file.read(into, 0);
  assert.equal(text(into), 'aaaaaaaaaa');
  await file.close();
});
