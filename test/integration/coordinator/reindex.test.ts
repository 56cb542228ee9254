import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { UNWATCHED } from '#coordinator/progress.ts';
import { reindex, reindexFolder } from '#coordinator/repair/reindex.ts';
import { newKeyPair } from '#coordinator/store/key-files.ts';
import { BUCKET, type Bucket, bucketKey, bucketRange } from '#coordinator/store/keys.ts';
import { del, delRange, type KvOp, put } from '#coordinator/store/kv.ts';
import { MemoryKv } from '#coordinator/store/memory-kv.ts';
import { openRocksKv } from '#coordinator/store/rocks-kv.ts';
import { fromHex, toHex, utf8ToBytes } from '#shared/crypto/bytes.ts';
import { BURN_ADDRESS } from '#shared/protocol/transfer.ts';
import { aiblock } from '#test/helpers/child.ts';
import { fileOf, post } from '#test/helpers/small-genesis.ts';
import { TestCoordinator } from '#test/helpers/test-coordinator.ts';
import { skipWithout } from '#test/helpers/tools.ts';
import { signTransfer } from '#worker/wallet/send.ts';

const DERIVED = [
  ...['payloadState', 'payloadHeight', 'rootHeight', 'tensorIndex', 'head', 'balance', 'journalHead'],
  ...['accountEntry', 'accountIndex', 'accountNonce', 'journalNode', 'shareHash', 'submissionOrder'],
] as const satisfies (keyof typeof BUCKET)[];
const miner = newKeyPair();

describe('reindex', { skip: skipWithout('redis-server') }, () => {
  let pool: TestCoordinator;
  /** All entries of the store of a stopped pool. */
  let stored: readonly (readonly [Uint8Array, Uint8Array])[];

  before(async () => {
    pool = await TestCoordinator.start();
    await pool.attach();
    const model = await pool.model();
    const tensors = Object.fromEntries(model.tensors.map(({ name }, i) => [name, 0.5 + i / 1024]));
    const file = fileOf(model, { key: miner, tensors });
    await post(pool.url, file);
    await pool.reaches(file.id, 'paid');
    for (let nonce = 0n; nonce < 5n; nonce++) await pay(nonce);
    await pool.commitWhole(0.25);
    await pay(5n);
    for (const worker of pool.workers) await worker.close();
    await pool.stop();
    stored = await copyOf(pool.dataDir);
  });
  after(() => pool.destroy());

  const pay = async (nonce: bigint) => {
    const expiry = BigInt(Math.floor(Date.now() / 1000) + 600);
    // One of them burns.
    const to = nonce === 3n ? BURN_ADDRESS : newKeyPair().address;
    const transfer = { from: miner.address, to, amount: 7n, nonce, expiry };
    const network = fromHex((await pool.model()).network, 32);
    const body = JSON.stringify(signTransfer(network, transfer, miner));
    const headers = { 'content-type': 'application/json' };
    const response = await fetch(new URL('/transfer', pool.url), { method: 'POST', headers, body });
    assert.equal(response.status, 201, await response.text());
  };

  /** A store with these entries, in memory, so that each case begins with the same. */
  const storeWith = async (...changes: KvOp[]) => {
    const kv = new MemoryKv();
    await kv.batch(stored.map(([key, value]) => put(key, value)));
    await kv.batch(changes);
    return kv;
  };
  const entriesIn = async (kv: MemoryKv) => {
    const found: string[] = [];
    for await (const [key, value] of kv.entries()) found.push(`${toHex(key)}=${toHex(value)}`);
    return found;
  };
  const asStored = () => stored.map(([key, value]) => `${toHex(key)}=${toHex(value)}`);
  const first = (bucket: Bucket): Uint8Array => {
    const found = stored.find(([key]) => key[0] === bucket)?.[0];
    assert.ok(found, `bucket ${bucket} is empty`);
    return found;
  };

  it('finds a whole pool as it is', async () => {
    const kv = await storeWith();
    const { lines, state, unsigned } = await reindex(kv, Date.now, UNWATCHED);
    assert.deepEqual(
      lines.filter(({ changed }) => changed),
      [],
    );
    assert.equal(unsigned, 0);
    assert.ok(state.journal.seq >= 14);
    assert.deepEqual(await entriesIn(kv), asStored());
  });

  it('makes every derived bucket anew, whatever became of it', async () => {
    for (const name of DERIVED) {
      const bucket = BUCKET[name];
      const key = first(bucket);
      for (const changes of [
        [delRange(bucketRange(bucket))],
        [del(key)],
        [put(key, new Uint8Array(104).fill(3))],
        [put(bucketKey(bucket, utf8ToBytes('~ of nobody')), new Uint8Array(32).fill(1))],
      ]) {
        // A head that lies about how far the chain has come cannot be told from a chain that lost its blocks.
        if (changes[0]?.type === 'put' && (name === 'head' || name === 'journalHead')) continue;
        const kv = await storeWith(...changes);
        const { lines } = await reindex(kv, Date.now, UNWATCHED);
        assert.equal(lines.filter(({ changed }) => changed).length, 1, name);
        assert.deepEqual(await entriesIn(kv), asStored(), name);
      }
    }
  });

  it('makes all of them anew at once', async () => {
    const kv = await storeWith(...DERIVED.map((name) => delRange(bucketRange(BUCKET[name]))));
    await reindex(kv, Date.now, UNWATCHED);
    assert.deepEqual(await entriesIn(kv), asStored());
  });

  it('refuses damaged sources by their code, and changes nothing', async () => {
    const nextTo = (bucket: Bucket) => stored.filter(([key]) => key[0] === bucket).at(-1)?.[0] as Uint8Array;
    const turned = (key: Uint8Array, at: number) => {
      const value = (stored.find((entry) => entry[0] === key) as (typeof stored)[number])[1].slice();
      value[at] = (value[at] as number) ^ 1;
      return put(key, value);
    };
    const cases: [string, KvOp, RegExp][] = [
      ['a header is gone', del(nextTo(BUCKET.header)), /^(STORE_CORRUPT|BLOCK_BODY)$/],
      ['the first header is gone', del(first(BUCKET.header)), /^(STORE_CORRUPT|BLOCK_LINK)$/],
      ['a header changed', turned(nextTo(BUCKET.header), 20), /^BLOCK_/],
      ['a body changed', turned(nextTo(BUCKET.body), 20), /^BLOCK_BODY$/],
      ['a body is gone', del(nextTo(BUCKET.body)), /^(STORE_CORRUPT|BLOCK_BODY)$/],
      ['a chunk changed', turned(nextTo(BUCKET.payloadChunk), 5), /^STORE_CORRUPT$/],
      ['a chunk is gone', del(first(BUCKET.payloadChunk)), /^STORE_CORRUPT$/],
      ['the last entry is gone', del(nextTo(BUCKET.journalEntry)), /^STORE_CORRUPT$/],
      ['the first entry is gone', del(first(BUCKET.journalEntry)), /^JOURNAL$/],
      ['an entry changed', turned(first(BUCKET.journalEntry), 60), /^(JOURNAL|BLOCK_ENCODING|ADDRESS)$/],
      ['the share log lost its first unit', del(first(BUCKET.workUnit)), /^JOURNAL$/],
      ['a unit changed', turned(first(BUCKET.workUnit), 70), /^(JOURNAL|BLOCK_ENCODING|ADDRESS)$/],
    ];
    for (const [what, change, code] of cases) {
      const kv = await storeWith(change);
      const before = await entriesIn(kv);
      await assert.rejects(
        reindex(kv, Date.now, UNWATCHED),
        (error: { code?: string }) => code.test(error.code ?? ''),
        what,
      );
      assert.deepEqual(await entriesIn(kv), before, what);
    }
  });

  it('STORE_CORRUPT until it ran to its end, where it was broken off', async () => {
    const kv = await storeWith(
      put(bucketKey(BUCKET.reindexing), new Uint8Array()),
      delRange(bucketRange(BUCKET.balance)),
    );
    const { poolStateOf } = await import('#coordinator/repair/pool-state.ts');
    await assert.rejects(poolStateOf(kv, Date.now), { code: 'STORE_CORRUPT', message: /`aiblock reindex`/ });
    await reindex(kv, Date.now, UNWATCHED);
    assert.deepEqual(await entriesIn(kv), asStored());
  });

  it('mends what stops the paying, as the fault that is told says', async () => {
    const kv = await openRocksKv(join(pool.dataDir, 'store'));
    await kv.batch([put(first(BUCKET.balance), new Uint8Array(32).fill(1))], { durable: true });
    await kv.close();
    await pool.start();
    const { status, body } = await pool.get('/readyz');
    assert.equal(status, 503);
    assert.match(JSON.stringify(body), /the balances sum to .*`aiblock reindex`/);
    await pool.stop();
    const { code, stdout, stderr } = await aiblock(['reindex', '--data-dir', pool.dataDir]);
    assert.equal(code, 0, stderr);
    assert.match(stdout, /^ {2}balances +\d+ {2}MENDED$/m);
    assert.match(stdout, /^ {2}parameter index +\d+ {2}as before$/m);
    await pool.start();
    await assert.rejects(reindexFolder(pool.dataDir, Date.now, UNWATCHED), { code: 'STORE_LOCKED' });
    assert.equal((await aiblock(['verify', '--coordinator', pool.url])).code, 0);
    await pool.stop();
    assert.deepEqual(
      (await copyOf(pool.dataDir)).map(([key, value]) => `${toHex(key)}=${toHex(value)}`),
      asStored(),
    );
  });
});

async function copyOf(dataDir: string): Promise<[Uint8Array, Uint8Array][]> {
  const kv = await openRocksKv(join(dataDir, 'store'));
  const found: [Uint8Array, Uint8Array][] = [];
  for await (const [key, value] of kv.entries()) found.push([key.slice(), value.slice()]);
  await kv.close();
  return found;
}
