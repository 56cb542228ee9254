import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { newKeyPair } from '#coordinator/store/key-files.ts';
import { fromHex } from '#shared/crypto/bytes.ts';
import { aiblock } from '#test/helpers/child.ts';
import { fileOf, post } from '#test/helpers/small-genesis.ts';
import { TestCoordinator } from '#test/helpers/test-coordinator.ts';
import { skipWithout } from '#test/helpers/tools.ts';
import { signTransfer } from '#worker/wallet/send.ts';

const HOUR_MS = 3_600_000;
const TO = '0x1563915e194D8CfBA1943570603F7606A3115508';

describe('a clock that is set an hour back', { skip: skipWithout('redis-server') }, () => {
  const { now } = Date;
  let pool: TestCoordinator;
  before(async () => {
    pool = await TestCoordinator.start();
  });
  after(async () => {
    Date.now = now;
    await pool.destroy();
  });

  const headAt = async () => {
    const { head } = await pool.model();
    const { body } = await pool.get(`/chain/B/block/${head.index}`);
    return (body as { timestamp: number }).timestamp;
  };

  it('goes on: blocks, payments and transfers, in the order of the chain', async () => {
    await pool.attach();
    const miner = newKeyPair();
    const model = await pool.model();
    const tensors = Object.fromEntries(model.tensors.map(({ name }, i) => [name, 0.5 + i / 1024]));
    const file = fileOf(model, { key: miner, tensors });
    await post(pool.url, file);
    await pool.reaches(file.id, 'paid');
    const first = await headAt();
    for (const worker of pool.workers) await worker.close();
    await pool.stop();

    Date.now = () => now() - HOUR_MS;
    await pool.start();
    await pool.attach();
    await pool.commitWhole(0.25);
    assert.equal(await headAt(), first, 'a block is not before the one below it');
    const network = fromHex((await pool.model()).network, 32);
    const expiry = BigInt(Math.floor(Date.now() / 1000) + 60);
    const transfer = { from: miner.address, to: TO, amount: 1n, nonce: 0n, expiry };
    const answer = await fetch(new URL('/transfer', pool.url), {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(signTransfer(network, transfer, miner)),
    });
    assert.equal(answer.status, 201, await answer.text());
    const verified = await aiblock(['verify', '--coordinator', pool.url]);
    assert.equal(verified.code, 0, verified.stdout + verified.stderr);

    for (const worker of pool.workers) await worker.close();
    Date.now = now;
    await pool.restart();
    await pool.attach();
    await pool.commitWhole(0.125);
    assert.ok((await headAt()) > first);
  });
});
