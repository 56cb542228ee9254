import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { SubmissionView } from '#shared/api/schemas.ts';
import { keyPair } from '#shared/crypto/keys.ts';
import type { ErrorCode } from '#shared/errors/catalogue.ts';
import { Courier } from '#worker/train/miner-flight.ts';
import type { Head } from '#worker/train/miner-head.ts';
import { Pace } from '#worker/train/miner-pace.ts';
import type { Candidate } from '#worker/train/miner-submission.ts';

const hex = (byte: string) => byte.repeat(32);
const head = {
  view: { network: hex('01'), root: hex('02'), meta: { hash: hex('03') }, tensors: [] },
} as unknown as Head;
const ref = { name: 'w', dtype: 'F32' as const, shape: [1], hash: hex('04') };
const candidate: Candidate = {
  ...{ refs: [ref], changed: [ref], root: hex('05') },
  bytes: new Map([['w', new Uint8Array(4)]]),
  tensors: new Map([['w', new Float32Array(1)]]),
};

/** A submission that was sent for `head` and is refused with this code. */
async function refused(code: ErrorCode): Promise<Pace> {
  const pace = new Pace({ firstLookMs: 1_000_000 });
  const courier = new Courier({
    api: { uploadParameters: async () => ({}) as SubmissionView },
    key: keyPair(new Uint8Array(32).fill(7)),
    report: () => {},
    pace,
  } as never);
  courier.send(candidate, head, new AbortController().signal);
  await courier.sending;
  const { id } = courier.flight as { id: string };
  courier.hear({ id, state: 'rejected', error: { code, message: '', details: {} } } as never, head);
  assert.equal(courier.flight, undefined);
  return pace;
}

test('what was signed for the Meta block before is looked at, and signed, again at once', async () => {
  assert.equal((await refused('SUBMISSION_META')).due, true);
});

test('what is not better than its own base is not', async () => {
  assert.equal((await refused('GATE_NOT_BETTER')).due, false);
});
