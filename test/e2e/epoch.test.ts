import assert from 'node:assert/strict';
import { it } from 'node:test';
import { epochDetailSchema, epochsSchema } from '#shared/api/epoch-schemas.ts';
import {
  frequencyBiases,
  headOf,
  LAST_BIAS,
  newKey,
  signedPart,
  submitGood,
} from '#test/helpers/candidate.ts';
import { aiblock } from '#test/helpers/child.ts';
import { startPool } from '#test/helpers/pool.ts';
import { skipWithout } from '#test/helpers/tools.ts';
import { until } from '#test/helpers/until.ts';

it('a real gain holds on the shards that its epoch reveals, and anybody can compute that again', {
  skip: skipWithout('redis-server'),
}, async () => {
  const pool = await startPool({ smallGains: true, epoch: { seals: 2, shards: 1 } });
  const head = await headOf(pool.url);
  const keys = [newKey(), newKey()];
  // The last bias as the frequencies of the training text have it: true of any part of the book.
  for (const [i, bias] of frequencyBiases(head, keys.length + 4)
    .slice(0, keys.length)
    .entries()) {
    const key = keys[i] as ReturnType<typeof newKey>;
    const { id, bytes } = await signedPart(head, new Map([[LAST_BIAS, bias]]), key);
    await submitGood(pool.url, bytes);
    assert.equal((await pool.settled(id)).state, 'paid');
    const { vesting } = await pool.api.account(key.address);
    assert.ok(BigInt(vesting) > 0n);
  }
  await until('the epoch is settled', async () => {
    const { epochs } = await pool.api.json('epochs', epochsSchema);
    return epochs[0]?.state === 'settled';
  });
  const { results, windows } = await pool.api.json('epochs/0', epochDetailSchema);
  assert.deepEqual(windows, { first: 0, count: 16 });
  for (const { held, attestations } of results) {
    assert.ok(held);
    const [{ base, candidate }] = attestations as [(typeof attestations)[number]];
    assert.ok(base.every((loss, i) => loss !== null && loss > 3e6 && loss !== candidate[i]));
  }
  for (const { address } of keys) assert.equal((await pool.api.account(address)).vesting, '0');
  const verified = await aiblock(['verify', '--coordinator', pool.url, '--loss', '--backend', 'wasm']);
  assert.equal(verified.code, 0, verified.stdout + verified.stderr);
  assert.equal(verified.stdout.match(/16 held-out windows of epoch 0: attested/g)?.length, 2);
});
