import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ModelRef } from '#shared/protocol/worker.ts';
import { Evaluator } from '#worker/evaluate/evaluator.ts';
import { rootOf } from '#worker/model/model-slot.ts';

const tensors = [{ name: 'w', dtype: 'F32' as const, shape: [1], hash: '11'.repeat(32) }];
const model: ModelRef = {
  meta: 'aa'.repeat(32),
  metaPayload: 'bb'.repeat(32),
  root: rootOf(tensors),
  tensors,
};

function evaluator() {
  const asked: number[][] = [];
  const host = {
    request: async ({ request }: { request: unknown }) => {
      const { windows } = request as { windows: number[] };
      asked.push(windows);
      return { losses: windows.map(() => 5 + asked.length), tokens: windows.length, ms: 1 };
    },
  };
  return { asked, evaluator: new Evaluator(host as never, { deadlineMs: 1_000, now: () => 0 }) };
}

const measure = (subject: Evaluator, ref: ModelRef, windows: number[]) =>
  subject.evaluate(
    { model: ref, changed: [], candidateRoot: ref.root, windows, bearer: '' },
    new AbortController().signal,
    () => {},
  );

test('a window that is known is not computed again', async () => {
  const { asked, evaluator: subject } = evaluator();
  await measure(subject, model, [0, 1]);
  assert.deepEqual((await measure(subject, model, [1, 2])).candidate, [6, 7]);
  assert.deepEqual(asked, [[0, 1], [2]]);
});

test('under another Meta block a window is another text', async () => {
  const { asked, evaluator: subject } = evaluator();
  await measure(subject, model, [0]);
  const later = await measure(subject, { ...model, metaPayload: 'cc'.repeat(32) }, [0]);
  assert.deepEqual(later.candidate, [7]);
  assert.deepEqual(asked, [[0], [0]]);
});
