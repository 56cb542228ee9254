import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  type Bystander,
  LongWaits,
  type Waiting,
  type WaitingFacts,
  whyWaiting,
} from '#coordinator/evaluation/waiting.ts';
import { newKeyPair } from '#coordinator/store/key-files.ts';
import { toHex } from '#shared/crypto/bytes.ts';
import { EvaluationPool, StandIn } from '#test/helpers/evaluation-pool.ts';
import { until } from '#test/helpers/until.ts';

const worker = (owner: string, change: Partial<Bystander> = {}): Bystander => ({
  ...{ address: `key of ${owner}`, owner, takes: true, fits: true },
  ...change,
});
const why = (change: Partial<WaitingFacts>) =>
  whyWaiting({ miner: 'miner', wanted: 2, seated: [], others: [], ...change });
const TWO = 'needs 2 workers of different owners who did not submit it';

test('enough workers: nothing keeps it but its turn', () => {
  assert.equal(why({ others: [worker('a'), worker('b')] }), null);
  assert.equal(why({ seated: ['a'], others: [worker('miner'), worker('b')] }), null);
  assert.equal(why({ wanted: 1, others: [worker('a')] }), null);
});

test('no-workers and too-few-workers', () => {
  assert.deepEqual(why({}), { reason: 'no-workers', message: `${TWO}; none is attached` });
  assert.deepEqual(why({ others: [worker('a')] }), {
    reason: 'too-few-workers',
    message: `${TWO}; 1 is attached`,
  });
  assert.equal(why({ seated: ['a'] })?.message, `${TWO}; 1 is on it, and no other is attached`);
  const three = why({ wanted: 4, seated: ['a', 'b'], others: [worker('c')] });
  assert.match(three?.message ?? '', /^needs 4 .*; 2 are on it, and 1 more is attached$/);
});

test('own-workers: by owner, and by the very key', () => {
  const own = {
    reason: 'own-workers',
    message:
      "needs 1 worker whose owner did not submit it; none is attached (not counted: 1 is its submitter's own)",
  };
  assert.deepEqual(why({ wanted: 1, others: [worker('miner')] }), own);
  assert.deepEqual(why({ wanted: 1, others: [worker('a', { address: 'miner' })] }), own);
});

test('too-little-memory, draining-workers, same-owner', () => {
  const small = why({ others: [worker('a', { fits: false }), worker('b', { fits: false }), worker('c')] });
  assert.equal(small?.reason, 'too-little-memory');
  assert.match(
    small?.message ?? '',
    /1 is attached \(not counted: 2 have too little memory for this model\)$/,
  );
  assert.equal(why({ others: [worker('a', { takes: false }), worker('b')] })?.reason, 'draining-workers');
  for (const same of [{ others: [worker('a'), worker('a')] }, { seated: ['a'], others: [worker('a')] }])
    assert.equal(why(same)?.reason, 'same-owner');
});

test('the first obstacle gives the reason, all stand in the message', () => {
  const others = [worker('a', { takes: false }), worker('b', { fits: false }), worker('miner')];
  assert.deepEqual(why({ others }), {
    reason: 'own-workers',
    message: `${TWO}; none is attached (not counted: 1 is its submitter's own, 1 has too little memory for this model, 1 is draining)`,
  });
});

test('a long wait is told once, and only one without a break', () => {
  const waits = new LongWaits();
  const waiting: Waiting = { reason: 'no-workers', message: 'none' };
  const look = (atMs: number, a: Waiting | null, b: Waiting | null = null) =>
    waits
      .look(
        atMs,
        new Map([
          ['a', a],
          ['b', b],
        ]),
      )
      .map(([id]) => id);
  assert.deepEqual(look(0, waiting, waiting), []);
  assert.deepEqual(look(40_000, waiting, null), []);
  assert.deepEqual(look(50_000, waiting, waiting), []);
  assert.deepEqual(look(60_001, waiting, waiting), ['a']);
  assert.deepEqual(look(70_000, null, waiting), []);
  assert.deepEqual(look(200_000, waiting, waiting), ['b']);
  assert.deepEqual(look(400_000, waiting, waiting), []);
  waits.look(400_001, new Map());
  look(400_002, waiting);
  assert.deepEqual(look(500_000, waiting), ['a'], 'one that comes back to the queue is another wait');
});

test('the stage tells of a long wait once, until another worker ends it', async () => {
  const pool = await EvaluationPool.open({ attestations: 1 });
  const miner = newKeyPair();
  pool.attach(new StandIn({ owner: miner.address }));
  const truth = () => ({ base: 5_000_000, candidate: 4_000_000 });
  const id = await pool.submit(truth, miner);
  const goOn = (condition: () => boolean | Promise<boolean>) =>
    until('the clock is ahead', () => {
      pool.aheadMs += 10_000;
      return condition();
    });
  await goOn(() => pool.longWaits.length > 0);
  const { aheadMs } = pool;
  await goOn(() => pool.aheadMs > aheadMs + 200_000);
  assert.deepEqual(pool.longWaits, [toHex(id)]);
  const record = await pool.submissions.get(id);
  assert.equal(record && pool.stage.waiting(record)?.reason, 'own-workers');
  pool.attach(new StandIn());
  await until('it is judged', async () => (await pool.submissions.get(id))?.state === 'evaluated');
  const judged = await pool.submissions.get(id);
  assert.equal(judged && pool.stage.waiting(judged), null);
  await pool.close();
});
