import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { del, delRange, type KV, type KvEntry, type KvRange, put } from '#coordinator/store/kv.ts';
import { utf8ToBytes } from '#shared/crypto/bytes.ts';

const bytes = (text: string) => utf8ToBytes(text);
const text = (value: Uint8Array | undefined) => value && new TextDecoder().decode(value);

async function listed(kv: KV, range?: KvRange): Promise<string[]> {
  const found: string[] = [];
  for await (const [key, value] of kv.entries(range)) found.push(`${text(key)}=${text(value)}`);
  return found;
}

/** The KV contract in code. `open` gives an empty store each time. */
export function kvConformance(name: string, open: () => Promise<KV>): void {
  describe(`KV: ${name}`, () => {
    let kv: KV;
    before(async () => {
      kv = await open();
      await kv.batch(
        ['a', 'b', 'ba', 'c', 'd'].map((key) => put(bytes(key), bytes(key.toUpperCase()))),
        { durable: true },
      );
    });
    after(() => kv.close());

    it('gives back what was put, and undefined for what was not', async () => {
      assert.deepEqual(await kv.get(bytes('ba')), bytes('BA'));
      assert.equal(await kv.get(bytes('bb')), undefined);
      assert.deepEqual((await kv.getMany([bytes('d'), bytes('x'), bytes('a')])).map(text), [
        'D',
        undefined,
        'A',
      ]);
      assert.deepEqual(await kv.getMany([]), []);
    });

    it('walks ranges in byte order, both ways, with a limit', async () => {
      assert.deepEqual(await listed(kv), ['a=A', 'b=B', 'ba=BA', 'c=C', 'd=D']);
      assert.deepEqual(await listed(kv, { gte: bytes('b'), lt: bytes('c') }), ['b=B', 'ba=BA']);
      assert.deepEqual(await listed(kv, { lt: bytes('c'), reverse: true, limit: 2 }), ['ba=BA', 'b=B']);
      assert.deepEqual(await listed(kv, { gte: bytes('bb'), limit: 1 }), ['c=C']);
      assert.deepEqual(await listed(kv, { gte: bytes('d'), lt: bytes('b') }), []);
      assert.deepEqual(await listed(kv, { limit: 0 }), []);
    });

    it('orders bytes as unsigned', async () => {
      const other = await open();
      const keys = [0xff, 0x00, 0x80, 0x7f].map((byte) => Uint8Array.of(1, byte));
      await other.batch(
        keys.map((key) => put(key, key)),
        { durable: false },
      );
      const seen: (number | undefined)[] = [];
      for await (const [key] of other.entries()) if (key[0] === 1) seen.push(key[1]);
      assert.deepEqual(seen, [0x00, 0x7f, 0x80, 0xff]);
      await other.close();
    });

    it('takes the ops of a batch in order, with empty values and sub-arrays', async () => {
      const whole = bytes('..e1..');
      await kv.batch(
        [
          put(whole.subarray(2, 4), whole.subarray(3, 3)),
          put(bytes('e0'), whole.subarray(2, 4)),
          put(bytes('e2'), bytes('x')),
          put(bytes('e3'), bytes('x')),
          delRange({ gte: bytes('e2'), lt: bytes('e4') }),
          put(bytes('e3'), bytes('again')),
          put(bytes('e5'), bytes('x')),
          del(bytes('e5')),
          del(bytes('never there')),
        ],
        { durable: false },
      );
      assert.deepEqual(await listed(kv, { gte: bytes('e') }), ['e0=e1', 'e1=', 'e3=again']);
      assert.deepEqual(await kv.get(bytes('e1')), new Uint8Array(0));
      await kv.batch([delRange({ gte: bytes('e'), lt: bytes('f') })], { durable: true });
      assert.deepEqual(await listed(kv, { gte: bytes('e') }), []);
    });

    it('keeps the order of batches called at once, durable or not', async () => {
      const calls = Array.from({ length: 40 }, (_, i) =>
        kv.batch([put(bytes('order'), bytes(`${i}`)), put(bytes(`o${i}`), bytes('x'))], {
          durable: i % 3 === 0,
        }),
      );
      await Promise.all(calls);
      assert.equal(text(await kv.get(bytes('order'))), '39');
      assert.equal((await listed(kv, { gte: bytes('o'), lt: bytes('p') })).length, 41);
      await kv.batch([delRange({ gte: bytes('o'), lt: bytes('p') })], { durable: false });
    });

    it('does not let a later batch into a walk that has begun', async () => {
      const walk = kv.entries()[Symbol.asyncIterator]();
      const first = (await walk.next()).value as KvEntry;
      await kv.batch([put(bytes('aa'), bytes('late')), del(bytes('d'))], { durable: false });
      const rest: (string | undefined)[] = [text(first[0])];
      for (let next = await walk.next(); !next.done; next = await walk.next()) rest.push(text(next.value[0]));
      assert.deepEqual(rest, ['a', 'b', 'ba', 'c', 'd']);
      await kv.batch([put(bytes('d'), bytes('D')), del(bytes('aa'))], { durable: false });
    });

    it('gives bytes that belong to the caller', async () => {
      (await kv.get(bytes('a')))?.fill(0);
      for await (const [key, value] of kv.entries()) {
        key.fill(0);
        value.fill(0);
      }
      assert.equal(text(await kv.get(bytes('a'))), 'A');
      assert.equal((await kv.get(bytes('a')))?.constructor, Uint8Array);
    });

    it('walks a thousand entries and values of a mebibyte', async () => {
      const other = await open();
      const big = new Uint8Array(1 << 20).fill(7);
      const many = Array.from({ length: 1000 }, (_, i) =>
        put(bytes(`k${`${i}`.padStart(4, '0')}`), bytes(`${i}`)),
      );
      await other.batch([...many, put(bytes('big'), big)], { durable: true });
      assert.equal((await listed(other, { gte: bytes('k') })).length, 1000);
      assert.deepEqual(await other.get(bytes('big')), big);
      await other.close();
    });

    it('STORE_IO: refuses every call after close, which may be called again', async () => {
      const other = await open();
      const pending = other.batch([put(bytes('a'), bytes('b'))], { durable: true });
      const walk = other.entries()[Symbol.asyncIterator]();
      await walk.next();
      await other.close();
      await other.close();
      await pending;
      const code = { code: 'STORE_IO' };
      await assert.rejects(async () => other.get(bytes('a')), code);
      await assert.rejects(async () => other.getMany([bytes('a')]), code);
      await assert.rejects(async () => other.batch([], { durable: true }), code);
      await assert.rejects(listed(other), code);
    });
  });
}
