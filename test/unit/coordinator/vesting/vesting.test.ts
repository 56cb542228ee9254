import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { EpochRecord } from '#coordinator/store/epoch-records.ts';
import { MemoryKv } from '#coordinator/store/memory-kv.ts';
import { WriteLock } from '#coordinator/store/write-lock.ts';
import { VestingStage } from '#coordinator/vesting/vesting.ts';
import { toHex } from '#shared/crypto/bytes.ts';

const SUBMISSION = new Uint8Array(32).fill(7);
const member = { submission: SUBMISSION, first: 5, last: 6, meta: new Uint8Array(32), deltaMicroNats: 1 };
const epoch: EpochRecord = {
  ...{ v: 1, number: 0, root: new Uint8Array(32), seals: 1, firstShard: 0, shards: 1, members: [member] },
  ...{ over: true, revealed: { at: 1, shards: [] } },
};

/** One revealed epoch of one seal, whose result is there or not. */
function stageOf(hasResult = false) {
  const time = { now: 1_000 };
  const faults: string[] = [];
  const result = { v: 1 as const, submission: SUBMISSION, at: 1, held: true, attestations: [], tokens: 0 };
  const stage = new VestingStage(
    {
      kv: new MemoryKv(),
      lock: new WriteLock(),
      chain: {} as never, // nobody describes or settles anything here
      ledger: {
        allVested: async () => [],
        vested: async () => undefined,
        prepare: async () => assert.fail('nothing is settled here'),
        apply: () => undefined,
      },
      units: { prepare: () => assert.fail('nothing is credited here'), apply: () => undefined },
      epochs: {
        all: [epoch],
        catchUp: async () => undefined,
        reveal: async () => epoch,
        of: () => undefined,
        result: async () => (hasResult ? result : undefined),
        windowsOf: async () => [],
      },
      now: () => time.now,
    },
    {
      onEpoch: () => undefined,
      onSettled: () => undefined,
      onCredited: () => undefined,
      onFault: (message) => faults.push(message),
    },
  );
  return { stage, time, faults };
}

test('what has no result is due after a start, what has one is not', async () => {
  const open = stageOf();
  await open.stage.start();
  assert.deepEqual(open.stage.due(), [toHex(SUBMISSION)]);
  const done = stageOf(true);
  await done.stage.start();
  assert.deepEqual([done.stage.due(), done.stage.waiting], [[], 0]);
});

test('a check that comes to nothing is due again after 5 s, after twice as long each time, after 10 minutes at most', async () => {
  const { stage, time, faults } = stageOf();
  await stage.start();
  for (const waitMs of [5_000, 10_000, 20_000, 40_000, 80_000, 160_000, 320_000, 600_000, 600_000]) {
    stage.failed(toHex(SUBMISSION));
    time.now += waitMs - 1;
    assert.deepEqual(stage.due(), [], `${waitMs}`);
    time.now += 1;
    assert.deepEqual(stage.due(), [toHex(SUBMISSION)]);
  }
  assert.equal(faults.length, 9);
  assert.equal(stage.waiting, 1);
});

test('a submission that is not due fails nothing', async () => {
  const { stage, faults } = stageOf(true);
  await stage.start();
  stage.failed(toHex(SUBMISSION));
  assert.deepEqual([stage.due(), faults], [[], []]);
  assert.equal(await stage.describe(toHex(SUBMISSION)), null);
});
