import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  EMPTY_STATE,
  KEPT_SUBMISSIONS,
  withEvent,
  withOverview,
  withSubmissions,
} from '#coordinator/web/app/state/pool-state.ts';
import { lossStep, lossSummary, nowSentence, workforce } from '#coordinator/web/app/state/summary.ts';
import type { SubmissionView } from '#shared/api/schemas.ts';
import { epochView, hash, overviewView, submissionView, workerView } from './views.ts';

const start = withOverview(EMPTY_STATE, overviewView());
const event = (submission: SubmissionView) =>
  ({ type: 'submission', at: submission.updated_at, submission }) as const;
const point = (height: number, loss_nats: number) => ({
  height,
  at: 2_000,
  loss_nats,
  measured: true,
  submission: hash('a'),
});

test('a submission moves from count to count, and an older view of it changes nothing', () => {
  const received = withEvent(start, event(submissionView()));
  assert.deepEqual(received.counts, { paid: 1, received: 1 });
  const queued = withEvent(received, event(submissionView({ state: 'queued', updated_at: 1_500 })));
  assert.deepEqual(queued.counts, { paid: 1, received: 0, queued: 1 });
  assert.equal(withEvent(queued, event(submissionView())), queued);
});

test('of two views of the same millisecond the longer history is the newer', () => {
  const history = [
    { state: 'committed', at: 1_000 },
    { state: 'paid', at: 1_000 },
  ];
  const paid = withEvent(start, event(submissionView({ state: 'paid', history })));
  const late = submissionView({ state: 'committed', history: history.slice(0, 1) });
  assert.equal(withSubmissions(paid, [late]).submissions[0]?.state, 'paid');
});

test('the count that a submission unknown to the page leaves is the one of its history', () => {
  const before = withOverview(EMPTY_STATE, overviewView({ submissions: { mining: 1 } }));
  const history = [
    { state: 'mining', at: 900 },
    { state: 'mined', at: 1_000 },
  ];
  const after = withEvent(before, event(submissionView({ state: 'mined', history })));
  assert.deepEqual(after.counts, { mining: 0, mined: 1 });
});

test('progress moves no count and is no news', () => {
  const evaluating = withEvent(start, event(submissionView({ state: 'evaluating' })));
  const progress = { done: 8, total: 64 };
  const later = withEvent(
    evaluating,
    event(submissionView({ state: 'evaluating', updated_at: 1_100, progress })),
  );
  assert.equal(later.counts, evaluating.counts);
  assert.equal(later.news, '');
  assert.equal(nowSentence(later), 'Evaluating 1 submission, 8 of 64 windows.');
});

test('a rejection and a commit are told in words', () => {
  const error = { code: 'GATE_NOT_BETTER', message: 'no better', details: {} } as const;
  const rejected = withEvent(start, event(submissionView({ state: 'rejected', error })));
  assert.equal(rejected.news, 'Submission aaaaaa was rejected: GATE_NOT_BETTER.');
  const committed = withEvent(start, event(submissionView({ state: 'committed' })));
  assert.equal(committed.news, 'Submission aaaaaa was committed.');
});

test('submissions stand in order of arrival, newest first, and no more than the page keeps', () => {
  const many = Array.from({ length: KEPT_SUBMISSIONS + 5 }, (_, i) =>
    submissionView({ id: i.toString(16).padStart(64, '0'), received_at: i, updated_at: i }),
  );
  const { submissions } = withSubmissions(start, many);
  assert.equal(submissions.length, KEPT_SUBMISSIONS);
  assert.equal(submissions[0]?.received_at, KEPT_SUBMISSIONS + 4);
});

test('a head event moves the head forward, never back', () => {
  const head = {
    type: 'head',
    at: 3_000,
    height: 5,
    hash: hash('8'),
    root: hash('9'),
    submission: null,
    blocks: 3,
  } as const;
  const moved = withEvent(start, head);
  assert.equal(moved.overview?.height.B, 5);
  assert.equal(moved.overview?.root, hash('9'));
  assert.equal(withEvent(moved, { ...head, height: 4 }), moved);
});

test('the curve takes each height once, and says how far the loss has come', () => {
  let state = withEvent(start, { type: 'loss', at: 2_000, point: point(5, 6.5) });
  state = withEvent(state, { type: 'loss', at: 2_000, point: point(5, 6.4) });
  state = withEvent(state, { type: 'loss', at: 2_000, point: point(9, Number.NaN) });
  assert.deepEqual(
    state.losses.map(({ height }) => height),
    [2, 5],
  );
  assert.equal(state.overview?.validation_loss_nats, 6.4);
  assert.equal(lossSummary(state)?.gainNats.toFixed(3), '0.500');
  assert.deepEqual(lossStep(state.losses, 5), { before: 6.9, after: 6.4 });
  assert.equal(lossStep(state.losses, 2), null);
});

test('an overview that was made before the last loss event does not take its point away', () => {
  const state = withEvent(start, { type: 'loss', at: 2_000, point: point(5, 6.5) });
  assert.deepEqual(
    withOverview(state, overviewView()).losses.map(({ height }) => height),
    [2, 5],
  );
});

test('while the head is newer than the curve, its loss is being measured', () => {
  assert.equal(lossSummary(start)?.measuring, false);
  assert.equal(
    lossSummary({ ...start, overview: overviewView({ height: { A: 0, B: 5 } }) })?.measuring,
    true,
  );
  assert.equal(lossSummary(EMPTY_STATE), null);
});

test('workers keep their places: attached ones first, then by name', () => {
  const worker = workerView({ address: '0x02', name: 'a far one' });
  const two = withEvent(start, { type: 'worker', at: 1, worker });
  assert.deepEqual(
    two.workers.map(({ name }) => name),
    ['a far one', 'local'],
  );
  const away = withEvent(two, { type: 'worker', at: 2, worker: { ...worker, connected: false } });
  assert.deepEqual(
    away.workers.map(({ name }) => name),
    ['local', 'a far one'],
  );
});

test('the workforce is those attached, and the rates they have', () => {
  assert.equal(workforce([]), '0 workers');
  const away = workerView({ connected: false });
  assert.equal(workforce([workerView(), away]), '1 worker, 9,000 tokens/s, 1.00 MH/s');
  assert.equal(workforce([workerView({ hashes_per_second: 0 })]), '1 worker, 9,000 tokens/s');
});

test('what the pool does is one sentence', () => {
  assert.equal(nowSentence(EMPTY_STATE), 'Asking the pool…');
  assert.equal(nowSentence(start), 'Waiting for the next submission.');
  assert.equal(nowSentence({ ...start, workers: [] }), 'No worker is attached.');
  assert.equal(nowSentence({ ...start, counts: { mined: 1 } }), 'Committing 1 submission.');
  const mining = withSubmissions({ ...start, counts: { mining: 1, queued: 2 } }, [
    submissionView({ state: 'mining', tensors: ['a', 'b'] }),
  ]);
  assert.equal(nowSentence(mining), 'Mining 2 blocks at 1.00 MH/s; 2 submissions waiting.');
});

test('an event of a kind the page does not know leaves the state as it is', () => {
  assert.equal(withEvent(start, { type: 'vote', at: 1 } as never), start);
});

test('an epoch of the feed takes the place of its older view', () => {
  const before = withEvent(start, { type: 'epoch', at: 1, epoch: epochView() });
  const after = withEvent(before, { type: 'epoch', at: 2, epoch: epochView({ state: 'revealed' }) });
  assert.deepEqual(
    withEvent(after, { type: 'epoch', at: 3, epoch: epochView({ number: 1 }) }).epochs.map(
      ({ state }) => state,
    ),
    ['revealed', 'open'],
  );
});
