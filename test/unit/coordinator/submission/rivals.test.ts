import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { SubmissionRecord } from '#coordinator/store/submissions.ts';
import { type Claimant, outclaimed } from '#coordinator/submission/rivals.ts';
import type { SubmissionState } from '#shared/lifecycle.ts';

const bytes = (value: number, length = 32) => new Uint8Array(length).fill(value);

function claimant(id: number, change: Partial<Claimant> & { state?: SubmissionState } = {}): Claimant {
  const { state, ...rest } = change;
  const record = state && ({ id: bytes(id), state } as SubmissionRecord);
  return {
    ...{ id: bytes(id), miner: bytes(id, 33), claimedAt: 100, payloads: [bytes(1)] },
    ...rest,
    ...(record && { record }),
  };
}

test('other payloads, and others of the same key, are no rivals', () => {
  const one = claimant(5);
  const others = [
    claimant(1, { payloads: [bytes(2)], state: 'queued' }),
    claimant(2, { miner: one.miner, claimedAt: 0, state: 'queued' }),
  ];
  assert.deepEqual(outclaimed(one, others), []);
});

test('PAYLOAD_KNOWN: one tensor of several under another key, claimed before', () => {
  const one = claimant(5, { payloads: [bytes(8), bytes(9)] });
  const other = claimant(1, { payloads: [bytes(9), bytes(3)], claimedAt: 99 });
  assert.throws(() => outclaimed(one, [other]), { code: 'PAYLOAD_KNOWN' });
});

test('whoever claimed later gives way, until it is being mined', () => {
  const one = claimant(5, { claimedAt: 50 });
  for (const state of ['received', 'queued', 'evaluating', 'evaluated'] as const) {
    const other = claimant(1, { state });
    assert.deepEqual(outclaimed(one, [other, claimant(2)]), [other.record]);
  }
  for (const state of ['mining', 'mined', 'committed'] as const)
    assert.throws(() => outclaimed(one, [claimant(1, { state })]), { code: 'PAYLOAD_KNOWN' });
});

test('of two in the same millisecond exactly one is first', () => {
  const [one, other] = [claimant(1), claimant(2)];
  assert.deepEqual(outclaimed(one, [other]), []);
  assert.throws(() => outclaimed(other, [one]), { code: 'PAYLOAD_KNOWN' });
});
