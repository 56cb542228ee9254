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
const lease = { type: 'mine', lease: 'l1', work: 'w1', header, bits, start: '7', count: '5000' } as const;

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

it('asks for two leases, answers each with its lowest nonce, and asks for one more', async () => {
  const { role, sent, until } = setUp();
  role.connected(session);
  role.message(lease);
  await until(4);
  const ready = { type: 'ready', role: 'mine' };
  const [first, second, range, third] = sent;
  assert.deepEqual([first, second, third], [ready, ready, ready]);
  assert.equal(range?.type, 'range');
  const { nonce, lease: id, work } = range as Extract<FromWorker, { type: 'range' }>;
  assert.deepEqual([id, work], ['l1', 'w1']);
  const meets = (n: bigint) =>
    meetsTarget(blockHash(withNonce(fromHex(header, 264), n)), targetFromBits(bits));
  let lowest = 7n;
  while (!meets(lowest)) lowest++;
  assert.equal(nonce, lowest.toString());
  assert.ok(role.hashesPerSecond > 0);
  await role.close();
});

it('says that a cancelled range has no nonce, and asks for another', async () => {
  const { role, sent, until } = setUp();
  role.connected(session);
  const hopeless = { ...lease, bits: bitsFromTarget(1n), count: '1000000000' };
  role.message(hopeless);
  role.message({ ...hopeless, lease: 'l2' });
  role.message({ type: 'cancel', id: 'w1' });
  await until(6);
  const ranges = sent.filter((message) => message.type === 'range');
  assert.deepEqual(
    ranges.map(({ lease: id, nonce }) => [id, nonce]),
    [
      ['l1', null],
      ['l2', null],
    ],
  );
  assert.equal(sent.filter(({ type }) => type === 'ready').length, 4);
  await role.close();
});

it('says nothing about leases of a session that is over', async () => {
  const { role, sent } = setUp();
  role.connected(session);
  role.message({ ...lease, bits: bitsFromTarget(1n), count: '1000000000' });
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
  assert.deepEqual(sent[2], { ...(sent[2] as object), type: 'range', nonce: null, hashes: '0' });
});
