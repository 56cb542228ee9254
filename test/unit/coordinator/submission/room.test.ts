import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { SubmissionRecord } from '#coordinator/store/submissions.ts';
import { type IntakeLimits, Room } from '#coordinator/submission/room.ts';

const LIMITS: IntakeLimits = {
  maxPending: 4,
  maxPendingPerMiner: 2,
  maxParts: 3,
  maxPartsPerMiner: 2,
  maxPartsPerAddress: 2,
  maxBytes: 1_000,
  maxBytesPerMiner: 300,
  maxBytesPerAddress: 500,
};
let lastId = 0;
const held = (miner: number, bytes = 10, address = `192.0.2.${miner}`) => ({
  ...{ id: new Uint8Array(32).fill(++lastId), miner: new Uint8Array(33).fill(miner), bytes, address },
});
const pendingOf = (miner: number, bytes: number) =>
  ({ miner: new Uint8Array(33).fill(miner), tensors: [{ bytes }] }) as unknown as SubmissionRecord;
const room = (...pending: SubmissionRecord[]) => new Room(LIMITS, { pending: () => pending });

test('what waits and what is received count together, until it is done', () => {
  const full = room(pendingOf(1, 10), pendingOf(2, 10), pendingOf(3, 10));
  const done = full.take(held(4));
  assert.throws(() => full.take(held(5)), { code: 'QUEUE_FULL' });
  assert.throws(() => full.takeParts(held(5)), { code: 'QUEUE_FULL' });
  done();
  full.take(held(5));
});

test('TOO_MANY_REQUESTS: submissions and bytes of one key', () => {
  const one = room(pendingOf(1, 200));
  assert.throws(() => one.take(held(1, 101)), { code: 'TOO_MANY_REQUESTS', message: /this key/ });
  one.take(held(1, 100));
  assert.throws(() => one.take(held(1, 0)), { code: 'TOO_MANY_REQUESTS', message: /2 submissions/ });
  one.take(held(2, 300));
});

test('TOO_MANY_REQUESTS: bytes of one address; QUEUE_FULL: of everybody', () => {
  const one = room();
  one.take(held(1, 300, '192.0.2.9'));
  assert.throws(() => one.takeParts(held(2, 201, '192.0.2.9')), { message: /this address/ });
  one.takeParts(held(2, 200, '192.0.2.9'));
  one.take(held(3, 300));
  assert.throws(() => one.take(held(4, 201)), { code: 'QUEUE_FULL' });
});

test('uploads by parts have limits of their own, and give their places back', () => {
  const one = room();
  const [first, second] = [held(1, 10, 'a'), held(1, 10, 'b')];
  one.takeParts(first);
  one.takeParts(second);
  assert.throws(() => one.takeParts(held(1, 10, 'c')), { code: 'TOO_MANY_REQUESTS' });
  one.takeParts(held(2, 10, 'a'));
  assert.throws(() => one.takeParts(held(3, 10, 'd')), { code: 'QUEUE_FULL' });
  one.release(second.id);
  assert.throws(() => one.takeParts(held(3, 10, 'a')), { message: /this address/ });
  one.takeParts(held(3, 10, 'd'));
});
