import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { describe, it } from 'node:test';
import { BUCKET, bucketKey } from '#coordinator/store/keys.ts';
import { del, type KV } from '#coordinator/store/kv.ts';
import { MemoryKv } from '#coordinator/store/memory-kv.ts';
import { CHUNK_BYTES, PayloadStore } from '#coordinator/store/payload-store.ts';
import { concatBytes } from '#shared/crypto/bytes.ts';

const sha256 = (bytes: Uint8Array) => new Uint8Array(createHash('sha256').update(bytes).digest());
const sample = (length: number, seed = 1) =>
  Uint8Array.from({ length }, (_, i) => (i * 31 + (i >>> 8) * seed) & 0xff);

async function* pieces(bytes: Uint8Array, length: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += length) yield bytes.slice(at, at + length);
}

async function readAll(store: PayloadStore, hash: Uint8Array, range = {}): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  for await (const part of store.read(hash, range)) parts.push(part.slice());
  return concatBytes(...parts);
}

async function keysIn(kv: KV): Promise<number> {
  let count = 0;
  for await (const _ of kv.entries()) count++;
  return count;
}

describe('PayloadStore', () => {
  const bytes = sample(2 * CHUNK_BYTES + 12_345);
  const hash = sha256(bytes);

  it('gives back what was put, whatever the pieces', async () => {
    for (const length of [1000, CHUNK_BYTES, CHUNK_BYTES + 1, bytes.length]) {
      const store = new PayloadStore(new MemoryKv());
      await store.put(hash, pieces(bytes, length));
      assert.equal(await store.size(hash), bytes.length);
      assert.deepEqual(await readAll(store, hash), bytes);
    }
  });

  it('reads ranges across chunks', async () => {
    const store = new PayloadStore(new MemoryKv());
    await store.put(hash, bytes);
    for (const [start, end] of [
      [0, 1],
      [5, 5],
      [CHUNK_BYTES - 1, CHUNK_BYTES + 1],
      [CHUNK_BYTES, 2 * CHUNK_BYTES],
      [7, bytes.length],
    ] as const) {
      assert.deepEqual(await readAll(store, hash, { start, end }), bytes.slice(start, end));
    }
    assert.deepEqual(await readAll(store, hash, { start: bytes.length - 3 }), bytes.slice(-3));
  });

  it('stores empty payloads and payloads of exactly one chunk', async () => {
    const store = new PayloadStore(new MemoryKv());
    for (const length of [0, CHUNK_BYTES]) {
      const payload = sample(length);
      await store.put(sha256(payload), payload);
      assert.equal(await store.size(sha256(payload)), length);
      assert.deepEqual(await readAll(store, sha256(payload)), payload);
    }
  });

  it('does not read the source of a payload that is there', async () => {
    const store = new PayloadStore(new MemoryKv());
    await store.put(hash, bytes);
    await store.put(
      hash,
      // biome-ignore lint/correctness/useYield: it must not even be asked
      (async function* () {
        assert.fail('the source was read');
      })(),
    );
  });

  it('BLOCK_PAYLOAD: keeps nothing of bytes with another hash', async () => {
    const kv = new MemoryKv();
    const store = new PayloadStore(kv);
    const twisted = bytes.slice();
    twisted[CHUNK_BYTES + 5]! ^= 1;
    await assert.rejects(store.put(hash, twisted), { code: 'BLOCK_PAYLOAD' });
    assert.equal(await store.has(hash), false);
    assert.equal(await keysIn(kv), 0);
  });

  it('keeps nothing when the source fails, and shows nothing before it ends', async () => {
    const kv = new MemoryKv();
    const store = new PayloadStore(kv);
    const cut = (async function* () {
      yield bytes.slice(0, 2 * CHUNK_BYTES);
      yield new Uint8Array(0);
      assert.equal(await store.has(hash), false);
      throw new Error('connection lost');
    })();
    await assert.rejects(store.put(hash, cut), /connection lost/);
    assert.equal(await keysIn(kv), 0);
  });

  it('is not harmed by wrong bytes under the same hash at the same time', async () => {
    const store = new PayloadStore(new MemoryKv());
    const wrong = store.put(hash, pieces(sample(bytes.length, 2), 100_000));
    const right = store.put(hash, pieces(bytes, 50_000));
    const again = store.put(hash, pieces(sample(bytes.length, 3), 100_000));
    await assert.rejects(wrong, { code: 'BLOCK_PAYLOAD' });
    await Promise.all([right, again]);
    assert.deepEqual(await readAll(store, hash), bytes);
  });

  it('NOT_FOUND, RANGE_NOT_SATISFIABLE: names what cannot be read', async () => {
    const store = new PayloadStore(new MemoryKv());
    await assert.rejects(store.size(hash), { code: 'NOT_FOUND' });
    await assert.rejects(readAll(store, hash), { code: 'NOT_FOUND' });
    await store.put(hash, bytes);
    for (const range of [{ start: -1 }, { end: bytes.length + 1 }, { start: 9, end: 8 }, { start: 0.5 }]) {
      await assert.rejects(readAll(store, hash, range), { code: 'RANGE_NOT_SATISFIABLE' });
    }
  });

  it('STORE_CORRUPT: a chunk is missing', async () => {
    const kv = new MemoryKv();
    const store = new PayloadStore(kv);
    await store.put(hash, bytes);
    await kv.batch([del(bucketKey(BUCKET.payloadChunk, hash, 1))]);
    await assert.rejects(readAll(store, hash), { code: 'STORE_CORRUPT' });
  });

  it('collects what nothing refers to, and what an interrupted write left', async () => {
    const kv = new MemoryKv();
    const store = new PayloadStore(kv);
    const other = sample(CHUNK_BYTES + 1, 5);
    await store.put(hash, bytes);
    await store.put(sha256(other), other);
    // What a crash leaves: the first chunk of a payload, and no end. (Another store object: a new process.)
    const begun = sha256(sample(9));
    let release = () => {};
    const gate = new Promise<void>((resolve) => {
      release = resolve;
    });
    const interrupted = new PayloadStore(kv).put(
      begun,
      (async function* () {
        yield sample(CHUNK_BYTES);
        await gate;
        throw new Error('killed');
      })(),
    );
    while ((await kv.get(bucketKey(BUCKET.payloadChunk, begun, 0))) === undefined) {
      await new Promise((resolve) => setImmediate(resolve));
    }
    assert.equal(await store.collect((candidate) => Buffer.compare(candidate, hash) === 0), 2);
    assert.equal(await keysIn(kv), 4);
    assert.deepEqual(await readAll(store, hash), bytes);
    release();
    await assert.rejects(interrupted, /killed/);
  });
});
