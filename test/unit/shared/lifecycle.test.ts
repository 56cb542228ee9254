import assert from 'node:assert/strict';
import { test } from 'node:test';
import { checkMove, isFinal, LIFECYCLE, SUBMISSION_STATES, type SubmissionState } from '#shared/lifecycle.ts';

test('the way of an accepted submission', () => {
  const way = [
    'received',
    'queued',
    'evaluating',
    'evaluated',
    'mining',
    'mined',
    'committed',
    'paid',
  ] as const;
  for (const [i, state] of way.entries()) if (i > 0) checkMove(way[i - 1]!, state);
  assert.deepEqual([...SUBMISSION_STATES].sort(), [...way, 'rejected'].sort());
});

test('every state before committed can be rejected; what is committed is only paid', () => {
  for (const state of SUBMISSION_STATES) {
    const before = !['committed', 'paid', 'rejected'].includes(state);
    assert.equal((LIFECYCLE[state] as readonly string[]).includes('rejected'), before, state);
  }
  assert.deepEqual(LIFECYCLE.committed, ['paid']);
});

test('every state is reached from the first, and an end from every state', () => {
  const reach = (from: SubmissionState, seen = new Set<SubmissionState>()): Set<SubmissionState> => {
    if (!seen.has(from)) for (const to of LIFECYCLE[seen.add(from) && from]) reach(to, seen);
    return seen;
  };
  assert.equal(reach('received').size, SUBMISSION_STATES.length);
  for (const state of SUBMISSION_STATES) assert.ok([...reach(state)].some(isFinal), state);
  assert.deepEqual(SUBMISSION_STATES.filter(isFinal), ['paid', 'rejected']);
});

test('STATE: every move that the table does not have', () => {
  for (const from of SUBMISSION_STATES)
    for (const to of SUBMISSION_STATES)
      if ((LIFECYCLE[from] as readonly string[]).includes(to)) checkMove(from, to);
      else assert.throws(() => checkMove(from, to), { code: 'STATE' }, `${from} → ${to}`);
});
