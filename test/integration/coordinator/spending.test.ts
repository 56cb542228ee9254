import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { newKeyPair } from '#coordinator/store/key-files.ts';
import { fromHex } from '#shared/crypto/bytes.ts';
import type { KeyPair } from '#shared/crypto/keys.ts';
import { fileOf, post } from '#test/helpers/small-genesis.ts';
import { TestCoordinator } from '#test/helpers/test-coordinator.ts';
import { skipWithout } from '#test/helpers/tools.ts';
import { signTransfer } from '#worker/wallet/send.ts';

const AT_ONCE = 100;
const AFFORDABLE = 37n;

interface Answer {
  readonly status: number;
  readonly code: string | undefined;
  readonly seq: number | undefined;
}

describe('a hundred transfers at once from one account, over HTTP', {
  skip: skipWithout('redis-server'),
}, () => {
  let pool: TestCoordinator;
  let network: Uint8Array;

  before(async () => {
    pool = await TestCoordinator.start();
    await pool.attach();
    network = fromHex((await pool.model()).network, 32);
  });
  after(() => pool.destroy());

  /** A miner with the reward of one submission. */
  const rich = async (value: number): Promise<{ key: KeyPair; balance: bigint }> => {
    const key = newKeyPair();
    const model = await pool.model();
    const tensors = Object.fromEntries(model.tensors.map(({ name }, i) => [name, value + i / 1024]));
    const file = fileOf(model, { key, tensors });
    await post(pool.url, file);
    await pool.reaches(file.id, 'paid');
    return { key, balance: await balanceOf(key.address) };
  };
  const balanceOf = async (address: string) =>
    BigInt(((await pool.get(`/balance/${address}`)).body as { balance: string }).balance);

  const send = async (
    key: KeyPair,
    transfer: { to: string; amount: bigint; nonce: bigint },
  ): Promise<Answer> => {
    const expiry = BigInt(Math.floor(Date.now() / 1000) + 600);
    const response = await fetch(new URL('/transfer', pool.url), {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(signTransfer(network, { from: key.address, expiry, ...transfer }, key)),
    });
    const { entry, error } = (await response.json()) as { entry?: { seq: number }; error?: { code: string } };
    return { status: response.status, code: error?.code, seq: entry?.seq };
  };
  const all = (of: (i: number) => Promise<Answer>) =>
    Promise.all(Array.from({ length: AT_ONCE }, (_, i) => of((i * 37) % AT_ONCE)));

  it('one after another by their nonces: exactly the affordable ones are made', async () => {
    const { key, balance } = await rich(0.5);
    const to = newKeyPair().address;
    const amount = balance / AFFORDABLE;
    const answers = await all((i) => send(key, { to, amount, nonce: BigInt(i) }));
    const made = answers.filter(({ status }) => status === 201);
    assert.equal(BigInt(made.length), AFFORDABLE);
    assert.equal(new Set(made.map(({ seq }) => seq)).size, made.length);
    for (const { status, code } of answers)
      assert.ok(status === 201 || code === 'FUNDS' || code === 'TRANSFER_NONCE', `${status} ${code}`);
    assert.equal(await balanceOf(to), amount * AFFORDABLE);
    assert.equal(await balanceOf(key.address), balance - amount * AFFORDABLE);
    const account = (await pool.get(`/accounts/${key.address}`)).body as { nonce: string };
    assert.equal(account.nonce, AFFORDABLE.toString());
  });

  it('all with the same nonce: exactly one is made', async () => {
    const { key, balance } = await rich(0.25);
    const receivers = Array.from({ length: AT_ONCE }, () => newKeyPair().address);
    const answers = await all((i) => send(key, { to: receivers[i] as string, amount: balance, nonce: 0n }));
    assert.equal(answers.filter(({ status }) => status === 201).length, 1);
    assert.equal(answers.filter(({ code }) => code === 'TRANSFER_NONCE').length, AT_ONCE - 1);
    const balances = await Promise.all(receivers.map(balanceOf));
    assert.deepEqual(
      balances.filter((amount) => amount > 0n),
      [balance],
    );
    assert.equal(await balanceOf(key.address), 0n);
  });

  it('the very same one a hundred times: it is made once, and each is told so', async () => {
    const { key, balance } = await rich(0.125);
    const to = newKeyPair().address;
    const expiry = BigInt(Math.floor(Date.now() / 1000) + 600);
    const body = JSON.stringify(
      signTransfer(network, { from: key.address, to, amount: balance / 3n, nonce: 0n, expiry }, key),
    );
    const headers = { 'content-type': 'application/json' };
    const answers = await all(async () => {
      const response = await fetch(new URL('/transfer', pool.url), { method: 'POST', headers, body });
      const { entry } = (await response.json()) as { entry: { seq: number } };
      return { status: response.status, code: undefined, seq: entry.seq };
    });
    assert.deepEqual(answers.map(({ status }) => status).sort(), [...Array(AT_ONCE - 1).fill(200), 201]);
    assert.equal(new Set(answers.map(({ seq }) => seq)).size, 1);
    assert.equal(await balanceOf(to), balance / 3n);
  });

  it('the books are whole afterwards', async () => {
    const { status, body } = await pool.get('/readyz');
    assert.equal(status, 200, JSON.stringify(body));
  });
});
