import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { UNSAFE_DEV_POOL } from '#coordinator/chain/genesis/dev-keys.ts';
import { newKeyPair } from '#coordinator/store/key-files.ts';
import { adjustmentSchema, entriesSchema } from '#shared/api/account-schemas.ts';
import { fromHex } from '#shared/crypto/bytes.ts';
import type { Adjustment, AdjustmentRequest } from '#shared/protocol/adjustment.ts';
import { BURN_ADDRESS } from '#shared/protocol/transfer.ts';
import { aiblock } from '#test/helpers/child.ts';
import { TestCoordinator } from '#test/helpers/test-coordinator.ts';
import { skipWithout } from '#test/helpers/tools.ts';
import { ApiClient } from '#worker/client/api-client.ts';
import { signAdjustment } from '#worker/wallet/adjust.ts';

describe('adjustments', { skip: skipWithout('redis-server') }, () => {
  let pool: TestCoordinator;
  let api: ApiClient;
  let network: Uint8Array;
  const friend = newKeyPair();
  before(async () => {
    pool = await TestCoordinator.start();
    await pool.attach();
    await pool.commitWhole(1);
    api = new ApiClient(pool.url);
    network = fromHex((await pool.model()).network, 32);
  });
  after(() => pool.destroy());

  const signed = (change: Partial<Adjustment> = {}, key = UNSAFE_DEV_POOL): AdjustmentRequest =>
    signAdjustment(
      network,
      {
        to: friend.address,
        amount: 100n,
        reason: 'lost shares of 3 May',
        nonce: fromHex('09'.repeat(16), 16),
        expiry: BigInt(Math.floor(Date.now() / 1000) + 600),
        ...change,
      },
      key,
    );
  const call = (body: unknown) =>
    fetch(new URL('/adjustments', pool.url), {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    });
  const balances = async () =>
    Promise.all(
      [UNSAFE_DEV_POOL, friend].map(async ({ address }) => BigInt((await api.balance(address)).balance)),
    );

  it('move the pool’s money once, with a reason beside the entry, and mint none', async () => {
    const [ours = 0n] = await balances();
    const { minted } = (await pool.get('/journal')).body as { minted: string };
    const request = signed();
    const answers = await Promise.all([call(request), call(request), call(request)]);
    assert.deepEqual(answers.map(({ status }) => status).sort(), [200, 200, 201]);
    const [view] = await Promise.all(
      answers.map(async (answer) => adjustmentSchema.parse(await answer.json())),
    );
    assert.deepEqual(await balances(), [ours - 100n, 100n]);
    assert.equal(((await pool.get('/journal')).body as { minted: string }).minted, minted);
    const { entries } = entriesSchema.parse((await pool.get(`/accounts/${friend.address}/entries`)).body);
    assert.deepEqual(
      entries.map(({ kind, reason }) => [kind, reason]),
      [['adjustment', 'lost shares of 3 May']],
    );
    assert.ok(view);
    const proof = await pool.get(`/adjustments/${view.digest}`);
    assert.deepEqual(adjustmentSchema.parse(proof.body), view);
    assert.equal((await pool.get(`/adjustments/${'00'.repeat(32)}`)).status, 404);
    await pool.restart();
    api = new ApiClient(pool.url);
    assert.equal((await call(request)).status, 200, 'also after a restart');
    assert.deepEqual(await balances(), [ours - 100n, 100n]);
  });

  it('are refused by their code, and move nothing', async () => {
    const before = await balances();
    const other = newKeyPair();
    const refused: [string, unknown][] = [
      ['SIGNATURE', signed({}, other)],
      ['SIGNATURE', { ...signed(), amount: '101' }],
      ['TRANSFER_EXPIRED', signed({ expiry: 1n })],
      ['FUNDS', signed({ amount: 2n ** 63n })],
      ['ADJUSTMENT', signed({ reason: ' ' })],
      ['ADJUSTMENT', signed({ to: BURN_ADDRESS })],
      ['BAD_REQUEST', { ...signed(), more: 1 }],
      ['BAD_REQUEST', 'text'],
    ];
    for (const [code, body] of refused) {
      const response = await call(body);
      assert.equal(((await response.json()) as { error: { code: string } }).error.code, code);
      assert.ok(response.status < 500);
    }
    assert.deepEqual(await balances(), before);
  });

  it('are made by `aiblock ledger adjust`, shown in the history, and checked by an auditor', async () => {
    const at = ['--coordinator', pool.url];
    const args = ['ledger', 'adjust', friend.address, '0.5', ...at, '--data-dir', pool.dataDir, '--reason'];
    const made = await aiblock([...args, 'a prize']);
    assert.equal(made.code, 0, made.stderr);
    assert.match(made.stdout, /^Gave 0\.5 of the pool to 0x/);
    assert.match((await aiblock([...args, 'two\nlines'])).stderr, /^error ADJUSTMENT: /);
    const history = await aiblock(['wallet', 'history', friend.address, ...at]);
    assert.match(history.stdout, /\+0\.5 {2}adjustment .*a prize$/m);
    const { code, stdout, stderr } = await aiblock(['verify', ...at, '--no-payloads']);
    assert.equal(code, 0, stdout + stderr);
    assert.match(stdout, /adjustments +2/);
    assert.deepEqual(pool.faults(), []);
  });
});
