import assert from 'node:assert/strict';
import { it } from 'node:test';
import { blockHash, withNonce } from '#shared/block/header.ts';
import { fromHex } from '#shared/crypto/bytes.ts';
import { bitsFromTarget, MAX_TARGET, meetsTarget, targetFromBits } from '#shared/pow/target.ts';
import type { FromWorker } from '#shared/protocol/worker.ts';
import { keptLog } from '#test/helpers/quiet-log.ts';
import type { Grinder } from '#worker/mine/grinder.ts';
import { createJsGrinder } from '#worker/mine/js-grinder.ts';
import { MineRole } from '#worker/mine/role.ts';

const session = { networkId: new Uint8Array(32), bearer: 'b', address: '0x0' };
const header = '5a'.repeat(264);
/** One hash in 256 meets it. */
const bits = bitsFromTarget(MAX_TARGET >> 8n);
/** One in 16. */
const target = (MAX_TARGET >> 4n).toString(16).padStart(64, '0');
const lease = {
  type: 'mine',
  ...{ lease: 'l1', work: 'w1' },
  ...{ header, bits, target, start: '7', count: '5000' },
} as const;
const hopeless = { ...lease, bits: bitsFromTarget(1n), target: '0'.repeat(64), count: '1000000000' };

function setUp(grinder: Grinder = createJsGrinder()) {
  const sent: FromWorker[] = [];
  let wake = () => {};
  const send = (message: FromWorker) => {
    sent.push(message);
    wake();
    return true;
  };
  const role = new MineRole({ grinder, send, log: keptLog().log, now: () => performance.now() });
  const until = async (count: number) => {
    while (sent.length < count) await new Promise<void>((resolve) => (wake = resolve));
  };
  return { role, sent, until };
}

it('asks for two leases, sends every share up to the block, and asks for one more', async () => {
  const { role, sent, until } = setUp();
  role.connected(session);
  role.message(lease);
  await until(3);
  const meets = (n: bigint, limit: bigint) =>
    meetsTarget(blockHash(withNonce(fromHex(header, 264), n)), limit);
  const expected: string[] = [];
  let nonce = 7n;
  for (; !meets(nonce, targetFromBits(bits)); nonce++)
    if (meets(nonce, MAX_TARGET >> 4n)) expected.push(nonce.toString());
  expected.push(nonce.toString());
  await until(3 + expected.length + 1);
  const ready = { type: 'ready', role: 'mine' };
  assert.deepEqual([sent[0], sent[1], sent.at(-1)], [ready, ready, ready]);
  const shares = sent.filter((message) => message.type === 'share');
  assert.deepEqual(
    shares.map((share) => share.nonce),
    expected,
  );
  assert.ok(shares.every(({ lease: id, work, ms }) => id === 'l1' && work === 'w1' && ms >= 0));
  assert.equal(sent.at(-2)?.type, 'range');
  assert.ok(role.hashesPerSecond > 0);
  await role.close();
});

it('gives cancelled ranges back, and asks for others', async () => {
  const { role, sent, until } = setUp();
  role.connected(session);
  role.message(hopeless);
  role.message({ ...hopeless, lease: 'l2' });
  role.message({ type: 'cancel', id: 'w1' });
  await until(6);
  const ranges = sent.filter((message) => message.type === 'range');
  assert.deepEqual(
    ranges.map(({ lease: id }) => id),
    ['l1', 'l2'],
  );
  assert.equal(sent.filter(({ type }) => type === 'ready').length, 4);
  await role.close();
});

it('says nothing about leases of a session that is over', async () => {
  const { role, sent } = setUp();
  role.connected(session);
  role.message(hopeless);
  role.disconnected();
  await new Promise((resolve) => setTimeout(resolve, 50));
  assert.equal(sent.length, 2);
  await role.close();
});

it('asks for no more leases with a broken grinder', async () => {
  const broken: Grinder = { ...createJsGrinder(), grind: () => Promise.reject(new Error('broken')) };
  const { role, sent, until } = setUp({ ...broken, close: async () => {} });
  role.connected(session);
  role.message(lease);
  await until(3);
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(sent.length, 3);
  assert.deepEqual(sent[2], { ...(sent[2] as object), type: 'range', hashes: '0' });
});
