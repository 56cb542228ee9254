import assert from 'node:assert/strict';
import { it } from 'node:test';
import type { Flight } from '#worker/train/miner-flight.ts';
import type { Head } from '#worker/train/miner-head.ts';
import { baseOf, changedByOthers, mergeInto, type Verdict } from '#worker/train/miner-merge.ts';

/** Tensors of two weights each; what they hold is their hash. */
const tensorsOf = (values: Record<string, readonly number[]>) =>
  new Map(Object.entries(values).map(([name, list]) => [name, Float32Array.from(list)]));
const refsOf = (values: Record<string, readonly number[]>) =>
  Object.entries(values).map(([name, list]) => {
    return { name, dtype: 'F32' as const, shape: [list.length], hash: list.join() };
  });
const head = (values: Record<string, readonly number[]>) =>
  ({ refs: refsOf(values), tensors: tensorsOf(values) }) as unknown as Head;
const flight = (state: string, values: Record<string, readonly number[]>) =>
  ({ state, candidate: { changed: refsOf(values), tensors: tensorsOf(values) } }) as unknown as Flight;

const loses: Verdict = { meanGainMicroNats: -1, passed: false };
const gains: Verdict = { meanGainMicroNats: 1, passed: false };
const passes: Verdict = { meanGainMicroNats: 9, passed: true };

/** Judges that say these one after another, and what weights they saw. */
function judges(weights: ReadonlyMap<string, Float32Array>, ...verdicts: Verdict[]) {
  const seen: Record<string, number[]>[] = [];
  const judge = async () => {
    seen.push(Object.fromEntries([...weights].map(([name, values]) => [name, [...values]])));
    return verdicts[seen.length - 1] as Verdict;
  };
  return { seen, judge };
}

const before = head({ a: [1, 1], b: [2, 2], c: [3, 3] });
const trained = () => tensorsOf({ a: [1.5, 1], b: [2, 2.25], c: [3, 3] });

it('adds the change to the tensors that others changed, and leaves the rest as it is', async () => {
  const after = head({ a: [1, 1], b: [8, 8], c: [9, 9] });
  const base = baseOf(before, after);
  assert.deepEqual(changedByOthers(after, base), ['b', 'c']);
  const weights = trained();
  const { seen, judge } = judges(weights, passes);
  assert.deepEqual(await mergeInto({ head: after, base }, weights, judge), { share: 1, passed: true });
  assert.deepEqual(seen, [{ a: [1.5, 1], b: [8, 8.25], c: [9, 9] }]);
});

it('a weight that was not trained becomes exactly that of the head', async () => {
  const [old, fresh] = [0.1, 1e-20].map(Math.fround) as [number, number];
  const [from, to] = [head({ a: [old, old] }), head({ a: [fresh, fresh] })];
  const weights = tensorsOf({ a: [old, old + 1] });
  await mergeInto({ head: to, base: baseOf(from, to) }, weights, judges(weights, gains).judge);
  assert.equal(weights.get('a')?.[0], fresh);
});

for (const [name, verdicts, expected] of [
  ['gains: goes on, and does not submit yet', [gains], { share: 1, passed: false }],
  ['would pass: goes on, and submits', [passes], { share: 1, passed: true }],
  ['worse, half of it gains', [loses, gains], { share: 0.5, passed: false }],
  ['worse, half of it would pass', [loses, passes], { share: 0.5, passed: true }],
  ['worse, and half of it, too', [loses, loses], undefined],
  ['no gain, nor with half of it', [{ ...gains, meanGainMicroNats: 0 }, loses], undefined],
] as const)
  it(`the change ${name}`, async () => {
    const after = head({ a: [5, 5], b: [2, 2], c: [3, 3] });
    const weights = trained();
    const { seen, judge } = judges(weights, ...verdicts);
    const merge = await mergeInto({ head: after, base: baseOf(before, after) }, weights, judge);
    assert.deepEqual(merge, expected);
    assert.equal(seen.length, verdicts.length);
    assert.deepEqual(seen[0], { a: [5.5, 5], b: [2, 2.25], c: [3, 3] });
    if (seen[1]) assert.deepEqual(seen[1], { a: [5.25, 5], b: [2, 2.125], c: [3, 3] });
  });

it('an own submission that became the head is no foreign change', () => {
  const own = { a: [1.25, 1], b: [2, 2.125] };
  const base = baseOf(before, head({ ...own, c: [3, 3] }), flight('mining', own));
  assert.deepEqual(changedByOthers(head({ ...own, c: [3, 3] }), base), []);
});

for (const state of ['committed', 'paid'])
  it(`what others added to an own ${state} submission is counted from there`, async () => {
    const after = head({ a: [1.25, 2], b: [2, 2], c: [7, 7] });
    const base = baseOf(before, after, flight(state, { a: [1.25, 1] }));
    assert.deepEqual(changedByOthers(after, base), ['a', 'c']);
    const weights = trained();
    await mergeInto({ head: after, base }, weights, judges(weights, gains).judge);
    assert.deepEqual(weights, tensorsOf({ a: [1.5, 2], b: [2, 2.25], c: [7, 7] }));
  });

it('a submission that is not on the chain is no base', () => {
  const after = head({ a: [4, 4], b: [2, 2], c: [3, 3] });
  for (const state of ['queued', 'rejected']) {
    const base = baseOf(before, after, flight(state, { a: [1.25, 1] }));
    assert.equal(base.get('a')?.hash, '1,1');
  }
});
