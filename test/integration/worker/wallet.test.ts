import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { newKeyPair } from '#coordinator/store/key-files.ts';
import { entriesSchema, transferProofSchema } from '#shared/api/account-schemas.ts';
import { fromHex, toHex } from '#shared/crypto/bytes.ts';
import type { KeyPair } from '#shared/crypto/keys.ts';
import { recoverAddress } from '#shared/crypto/recover.ts';
import { PoolError } from '#shared/errors/pool-error.ts';
import { BURN_ADDRESS, transferDigest } from '#shared/protocol/transfer.ts';
import { aiblock } from '#test/helpers/child.ts';
import { fileOf, post, SMALL_TENSOR } from '#test/helpers/small-genesis.ts';
import { tempDir } from '#test/helpers/temp-dir.ts';
import { TestCoordinator } from '#test/helpers/test-coordinator.ts';
import { skipWithout } from '#test/helpers/tools.ts';
import { ApiClient } from '#worker/client/api-client.ts';
import { send, signTransfer } from '#worker/wallet/send.ts';

describe('paying from a wallet', { skip: skipWithout('redis-server') }, () => {
  let pool: TestCoordinator;
  let api: ApiClient;
  let miner: KeyPair;
  const friend = newKeyPair();
  const expiry = BigInt(Math.floor(Date.now() / 1000) + 600);

  before(async () => {
    pool = await TestCoordinator.start();
    api = new ApiClient(pool.url);
    miner = newKeyPair();
    const worker = await pool.attach();
    const file = fileOf(await pool.model(), { key: miner, tensors: { [SMALL_TENSOR]: 0.5 } });
    await post(pool.url, file, '/mine');
    await pool.reaches(file.id, 'paid');
    await worker.close();
  });
  after(() => pool.destroy());

  it('moves the money, and everybody can check the signature behind the entry', async () => {
    const before = BigInt((await api.account(miner.address)).balance);
    assert.ok(before > 1_000n);
    const { digest, entry } = await send(api, miner, { to: friend.address, amount: 1_000n, expiry });
    assert.equal(entry.kind, 'transfer');
    const account = await api.account(miner.address);
    assert.deepEqual([BigInt(account.balance), account.nonce], [before - 1_000n, '1']);
    assert.equal((await api.account(friend.address)).balance, '1000');

    const proof = await api.json(`transfer/${digest}`, transferProofSchema);
    const { from, to, amount } = proof.entry;
    assert.ok(from && to);
    const signed = {
      from,
      to,
      amount: BigInt(amount),
      nonce: BigInt(proof.nonce),
      expiry: BigInt(proof.expiry),
    };
    const networkId = fromHex((await api.model()).network, 32);
    const hash = transferDigest(networkId, signed);
    assert.equal(recoverAddress(fromHex(proof.signature.slice(2), 65), hash), miner.address);
  });

  it('lists entries in pages and as CSV', async () => {
    const page = await api.json(`accounts/${miner.address}/entries?limit=1`, entriesSchema);
    assert.equal(page.entries[0]?.kind, 'transfer');
    const rest = await api.json(`accounts/${miner.address}/entries?before=${page.next}`, entriesSchema);
    assert.deepEqual(
      rest.entries.map(({ kind }) => kind),
      ['vest', 'reward-submitter'],
    );
    assert.equal(rest.next, null);
    const first = new URL(`/accounts/${miner.address}/entries?format=csv&limit=1`, pool.url);
    const more = (await fetch(first)).headers.get('link');
    assert.equal(more, `<?before=${page.next}&limit=1&format=csv>; rel="next"`);
    const csv = await fetch(new URL(`/accounts/${miner.address}/entries?format=csv`, pool.url));
    assert.match(csv.headers.get('content-type') ?? '', /^text\/csv/);
    const lines = (await csv.text()).trimEnd().split('\r\n');
    assert.equal(lines.length, 4);
    assert.equal(lines[0], 'seq,at,kind,ref,from,to,amount');
    assert.match(lines[1] ?? '', /^\d+,\d+,transfer,[0-9a-f]{64},0x\w{40},0x\w{40},1000$/);
  });

  it('answers the same request the same, and refuses in coded words', async () => {
    const networkId = fromHex((await api.model()).network, 32);
    const transfer = { from: friend.address, to: miner.address, amount: 400n, nonce: 0n, expiry };
    const request = signTransfer(networkId, transfer, friend);
    const call = (body: unknown) =>
      fetch(new URL('/transfer', pool.url), {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify(body),
      });
    const [first, again] = [await call(request), await call(request)];
    assert.deepEqual([first.status, again.status], [201, 200]);
    assert.deepEqual(await first.json(), await again.json());
    const refusals: [string, unknown][] = [
      ['FUNDS', signTransfer(networkId, { ...transfer, nonce: 1n, amount: 601n }, friend)],
      ['TRANSFER_NONCE', signTransfer(networkId, { ...transfer, amount: 1n }, friend)],
      ['TRANSFER_EXPIRED', signTransfer(networkId, { ...transfer, nonce: 1n, expiry: 1n }, friend)],
      ['SIGNATURE', signTransfer(new Uint8Array(32), { ...transfer, nonce: 1n }, friend)],
      ['SIGNATURE', { ...signTransfer(networkId, { ...transfer, nonce: 1n }, friend), amount: '600' }],
      ['AMOUNT', { ...request, amount: '1e3' }],
      ['ADDRESS', { ...request, to: '0x12' }],
      ['BAD_REQUEST', { ...request, more: 1 }],
      ['BAD_REQUEST', JSON.parse('{"__proto__":{"from":"0x"}}')],
    ];
    for (const [code, body] of refusals) {
      const response = await call(body);
      const { error } = (await response.json()) as { error: { code: string } };
      assert.equal(error.code, code);
      assert.ok(response.status < 500);
    }
    await assert.rejects(
      send(api, friend, { to: miner.address, amount: 10n ** 9n, expiry }),
      (error) => error instanceof PoolError && error.code === 'FUNDS',
    );
    assert.equal((await api.account(friend.address)).balance, '600');
  });

  it('burns only what is said to be burned', async () => {
    const file = join(await tempDir(), 'key');
    await writeFile(file, `${toHex(miner.secretKey)}\n`);
    const pay = (...args: string[]) =>
      aiblock(['wallet', 'send', ...args, '--wallet', file, '--coordinator', pool.url]);
    const silent = await pay(BURN_ADDRESS, '0.00000001');
    assert.match(silent.stderr, /OPTION: nobody has the key of 0x0{40}.*--burn/);
    const other = await pay(friend.address, '0.00000001', '--burn');
    assert.match(other.stderr, /OPTION: --burn/);
    const before = BigInt((await api.account(miner.address)).balance);
    const burned = await pay(BURN_ADDRESS, '0.00000001', '--burn');
    assert.match(burned.stdout, /^Burned 0\.00000001: journal entry \d+/, burned.stderr);
    assert.equal(BigInt((await api.account(miner.address)).balance), before - 1n);
  });
});
