import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { newKeyPair } from '#coordinator/store/key-files.ts';
import { BUCKET, bucketRange } from '#coordinator/store/keys.ts';
import { type KvEntry, put } from '#coordinator/store/kv.ts';
import { openRocksKv } from '#coordinator/store/rocks-kv.ts';
import { readinessSchema } from '#shared/api/schemas.ts';
import { fromHex } from '#shared/crypto/bytes.ts';
import { fileOf, post, SMALL_TENSOR } from '#test/helpers/small-genesis.ts';
import { TestCoordinator } from '#test/helpers/test-coordinator.ts';
import { skipWithout } from '#test/helpers/tools.ts';
import { until } from '#test/helpers/until.ts';
import { signTransfer } from '#worker/wallet/send.ts';

describe('a ledger that does not add up', { skip: skipWithout('redis-server') }, () => {
  const miner = newKeyPair();
  let pool: TestCoordinator;
  let whole: KvEntry;

  const submit = async (value: number) => {
    const file = fileOf(await pool.model(), { key: miner, tensors: { [SMALL_TENSOR]: value } });
    assert.equal((await post(pool.url, file)).status, 202);
    return file.id;
  };
  const ledgerReady = async () => {
    const { status, body } = await pool.get('/readyz');
    return { status, ledger: readinessSchema.parse(body).checks.ledger };
  };
  const metric = async () => {
    const text = await (await fetch(new URL('/metrics', pool.url))).text();
    return /^aiblock_ledger_balanced (\d)$/m.exec(text)?.[1];
  };
  /** Writes a balance into the store of the stopped pool. */
  const write = async (change: (stored: KvEntry) => KvEntry): Promise<KvEntry> => {
    const kv = await openRocksKv(join(pool.dataDir, 'store'));
    try {
      for await (const stored of kv.entries({ ...bucketRange(BUCKET.balance), limit: 1 })) {
        await kv.batch([put(...change(stored))], { durable: true });
        return stored;
      }
      throw new Error('there is no balance');
    } finally {
      await kv.close();
    }
  };

  before(async () => {
    pool = await TestCoordinator.start();
    await pool.attach();
    await pool.reaches(await submit(0.5), 'paid');
  });
  after(() => pool.destroy());

  it('is told by /readyz and the metric the alert watches, and nothing is paid on it', async () => {
    assert.deepEqual(await metric(), '1');
    await pool.stop();
    whole = await write(([key, balance]) => [key, balance.map((byte, i) => (i === 31 ? byte ^ 1 : byte))]);
    await pool.start();
    await pool.attach();
    const { status, ledger } = await ledgerReady();
    assert.deepEqual([status, ledger?.ok, await metric()], [503, false, '0']);
    assert.match(
      ledger?.detail ?? '',
      /^the balances sum to \d+, minted less burned is \d+: nothing is paid/,
    );
    assert.equal(pool.faults().filter(({ err }) => err?.code === 'JOURNAL').length, 1);

    const id = await submit(0.75);
    await pool.reaches(id, 'evaluated');
    const transfer = {
      from: miner.address,
      to: newKeyPair().address,
      amount: 1n,
      nonce: 0n,
      expiry: 9_999_999_999n,
    };
    const response = await fetch(new URL('/transfer', pool.url), {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(signTransfer(fromHex((await pool.model()).network, 32), transfer, miner)),
    });
    const { error } = (await response.json()) as { error: { code: string } };
    assert.deepEqual([response.status, error.code], [500, 'JOURNAL']);
    assert.equal((await pool.submission(id)).state, 'evaluated');
  });

  it('is paid on again by a start that finds it whole', async () => {
    await pool.stop();
    await write(() => whole);
    await pool.start();
    await pool.attach();
    assert.deepEqual((await ledgerReady()).ledger?.ok, true);
    await until('what waited is paid', async () => {
      const { body } = await pool.get('/submissions?state=paid');
      return (body as { submissions: unknown[] }).submissions.length === 2;
    });
  });
});
