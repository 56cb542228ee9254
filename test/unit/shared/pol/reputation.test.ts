import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  afterAgreement,
  afterDisagreement,
  afterTimeout,
  isOut,
  isRechecked,
  NEWCOMER,
  type Reputation,
} from '#shared/pol/reputation.ts';
import { readVectors } from '#test/helpers/vectors.ts';

const times = (n: number, step: (r: Reputation) => Reputation, from = NEWCOMER): Reputation =>
  Array.from({ length: n }).reduce<Reputation>((r) => step(r), from);

test('agreements count in a row; a disagreement starts the row again', () => {
  const ten = times(10, afterAgreement);
  assert.deepEqual(ten, { agreements: 10, consecutive: 10, disagreements: 0, strikes: 0, timeouts: 0 });
  assert.deepEqual(afterDisagreement(ten), {
    agreements: 10,
    consecutive: 0,
    disagreements: 1,
    strikes: 1,
    timeouts: 0,
  });
});

test('three strikes are out; ten agreements in a row take one away', () => {
  assert.ok(!isOut(times(2, afterDisagreement)) && isOut(times(3, afterDisagreement)));
  const forgiven = times(10, afterAgreement, times(2, afterDisagreement));
  assert.equal(forgiven.strikes, 1);
  assert.ok(!isOut(afterDisagreement(forgiven)) && isOut(times(2, afterDisagreement, forgiven)));
  // One lie in nine agreements does not pay either.
  const cycle = (r: Reputation) => afterDisagreement(times(9, afterAgreement, r));
  assert.ok(isOut(times(3, cycle)));
});

test('five answers in a row that did not come are out; one that came starts the count again', () => {
  assert.ok(!isOut(times(4, afterTimeout)) && isOut(times(5, afterTimeout)));
  assert.equal(afterAgreement(times(4, afterTimeout)).timeouts, 0);
  assert.equal(times(4, afterTimeout, times(3, afterAgreement)).consecutive, 3, 'no lie, so the row goes on');
});

test('re-checks fall where the vectors say, and about once in n', () => {
  const { rechecks } = readVectors<{
    rechecks: {
      network: Uint8Array;
      submission: Uint8Array;
      worker: Uint8Array;
      salt: Uint8Array;
      consecutive: number;
      rechecked: boolean;
    }[];
  }>('pol');
  for (const { network, consecutive, rechecked, ...about } of rechecks)
    assert.equal(isRechecked(network, about, consecutive), rechecked);
  const [{ network, worker, salt }] = rechecks as [(typeof rechecks)[number]];
  let hits = 0;
  for (let i = 0; i < 4_000; i++) {
    const submission = new Uint8Array(32);
    new DataView(submission.buffer).setUint32(0, i);
    if (isRechecked(network, { submission, worker, salt }, 20)) hits += 1;
  }
  assert.ok(hits > 140 && hits < 260, `${hits} of 4000, expected about 200`);
});
