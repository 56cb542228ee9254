import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  groupBytes,
  isWhole,
  mergeBlocks,
  nextUnknownSeal,
} from '#coordinator/web/app/state/block-groups.ts';
import { blockViews, hash } from './views.ts';

const genesis = blockViews(0, 3, hash('0'));
const second = blockViews(3, 4, hash('a'));
const third = blockViews(7, 1, hash('b'));

test('blocks of one submission become one group, newest group first, whatever their order', () => {
  const groups = mergeBlocks([], [...second, ...genesis, ...third].reverse(), 10);
  assert.deepEqual(
    groups.map(({ first, last }) => [first, last]),
    [
      [7, 7],
      [3, 6],
      [0, 2],
    ],
  );
  assert.deepEqual(
    groups[1]?.blocks.map(({ index }) => index),
    [3, 4, 5, 6],
  );
  assert.equal(groups[1]?.root, hash('3'));
  assert.equal(groups[1]?.atMs, 1_700_000_003_500);
  assert.equal(groupBytes(groups[1]!), 400);
  assert.equal(nextUnknownSeal(groups), null);
});

test('one block places its whole group, and later ones fill it', () => {
  const seal = mergeBlocks([], second.slice(-1), 10);
  assert.deepEqual([seal[0]?.first, seal[0]?.last, isWhole(seal[0]!)], [3, 6, false]);
  assert.equal(nextUnknownSeal(seal), 2);
  const filled = mergeBlocks(seal, second, 10);
  assert.equal(filled.length, 1);
  assert.equal(isWhole(filled[0]!), true);
});

test('without its last block a group has no root yet', () => {
  assert.equal(mergeBlocks([], second.slice(0, 2), 10)[0]?.root, null);
});

test('groups end above a hole, so that what is missing is asked for', () => {
  const known = mergeBlocks([], genesis, 10);
  const after = mergeBlocks(known, third, 10);
  assert.deepEqual(
    after.map(({ first }) => first),
    [7],
  );
  assert.equal(nextUnknownSeal(after), 6);
});

test('a body that is not one of a Parameter block is passed over', () => {
  const [block] = third;
  for (const body of [
    null,
    'text',
    [],
    {},
    { ...(block!.body as object), part: 1 },
    { ...(block!.body as object), parts: 1.5 },
  ]) {
    assert.deepEqual(mergeBlocks([], [{ ...block!, body }], 10), []);
  }
});
