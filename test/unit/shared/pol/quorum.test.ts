import assert from 'node:assert/strict';
import { test } from 'node:test';
import { agree, decideQuorum, mostResults, type Result } from '#shared/pol/quorum.ts';

const of = (value: number, windows = 8): Result => ({
  base: Array.from({ length: windows }, (_, i) => 1_000 + i),
  candidate: Array.from({ length: windows }, (_, i) => value + i),
});
const decide = (results: readonly Result[], needed: number) =>
  decideQuorum(results, { needed, toleranceMicroNats: 10, most: mostResults(needed) });

test('agreement: within the tolerance on each window, within half of it on the mean, on the windows both have', () => {
  const a = of(900);
  const shifted = (by: (i: number) => number): Result => ({
    ...a,
    candidate: a.candidate.map((loss, i) => (loss as number) + by(i)),
  });
  assert.ok(agree(a, a, 0));
  assert.ok(
    agree(
      a,
      shifted((i) => (i % 2 ? 10 : -10)),
      10,
    ),
  );
  assert.ok(
    !agree(
      a,
      shifted((i) => (i === 0 ? 11 : 0)),
      10,
    ),
  );
  assert.ok(
    agree(
      a,
      shifted(() => 5),
      10,
    ),
  );
  assert.ok(
    !agree(
      a,
      shifted(() => 6),
      10,
    ),
    'a lie leans one way',
  );
  assert.ok(agree(of(900, 4), of(900, 8), 10), 'one stopped earlier');
});

test('agreement: a loss that is not finite agrees with its like only', () => {
  const a = of(900);
  const broken = (value: number | null): Result => ({ ...a, candidate: a.candidate.with(2, value) });
  assert.ok(agree(broken(null), broken(null), 10));
  assert.ok(!agree(broken(null), a, 10));
  for (const bad of [Number.NaN, Number.POSITIVE_INFINITY, -1])
    assert.ok(!agree(broken(bad), broken(bad), 10), String(bad));
});

test('a quorum of one', () => {
  assert.deepEqual(decide([], 1), { kind: 'open', missing: 1 });
  const only = of(900);
  assert.deepEqual(decide([only], 1), { kind: 'agreed', agreeing: [only], outvoted: [] });
});

test('a disagreement widens the committee until more than half agree', () => {
  const honest = [of(900), of(901), of(899)];
  const lie = of(500);
  const [a, b, c] = honest as [Result, Result, Result];
  assert.deepEqual(decide([a], 2), { kind: 'open', missing: 1 });
  assert.deepEqual(decide([a, lie], 2), { kind: 'open', missing: 1 });
  assert.deepEqual(decide([a, lie, b], 2), { kind: 'agreed', agreeing: [a, b], outvoted: [lie] });
  // Two liars who collude are outvoted by three, and never enough of a quorum of three.
  const twin = of(500);
  assert.deepEqual(decide([lie, twin, a], 3), { kind: 'open', missing: 1 });
  assert.deepEqual(decide([lie, twin, a, b], 3), { kind: 'open', missing: 1 });
  assert.deepEqual(decide([lie, twin, a, b, c], 3), {
    kind: 'agreed',
    agreeing: [a, b, c],
    outvoted: [lie, twin],
  });
  // Liars who contradict each other do not count together.
  assert.deepEqual(decide([lie, of(100), a, b], 2), { kind: 'open', missing: 1 });
});

test('it is split where the largest committee could not settle it', () => {
  const all = [1, 2, 3, 4, 5].map((i) => of(i * 100));
  assert.deepEqual(decide(all.slice(0, 3), 2), { kind: 'open', missing: 2 });
  assert.deepEqual(decide(all.slice(0, 4), 2), { kind: 'split' });
});

test('agreement does not travel: those at either end of a chain of neighbours do not agree', () => {
  const [low, middle, high] = [of(900), of(905), of(910)] as [Result, Result, Result];
  assert.ok(agree(low, middle, 10) && agree(middle, high, 10) && !agree(low, high, 10));
  assert.deepEqual(decide([low, middle, high], 3).kind, 'open');
});
