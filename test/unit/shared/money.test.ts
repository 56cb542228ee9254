import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { formatAmount, splitAmount, UNIT } from '#shared/money.ts';
import { readVectors } from '#test/helpers/vectors.ts';

const { splits, formats } = readVectors<{
  splits: { amount: string; weights: string[]; parts: string[] }[];
  formats: { units: string; text: string }[];
}>('money');

test('splits are those of the vectors', () => {
  for (const { amount, weights, parts } of splits)
    assert.deepEqual(splitAmount(BigInt(amount), weights.map(BigInt)), parts.map(BigInt));
});

test('amounts are shown as those of the vectors', () => {
  for (const { units, text } of formats) assert.equal(formatAmount(BigInt(units)), text);
});

test('the cases other pools get wrong', () => {
  assert.deepEqual(splitAmount(50n * UNIT, [1n, 1n, 1n]), [1_666_666_666n, 1_666_666_667n, 1_666_666_667n]);
  const many = splitAmount(999n, new Array<bigint>(1000).fill(1n));
  assert.ok(
    many.every((part) => part <= 1n),
    'nobody gets it all',
  );
  assert.deepEqual(splitAmount(100n, [1n, 0n, 1n]), [50n, 0n, 50n]);
});

const weights = fc
  .array(fc.bigInt({ min: 0n, max: 2n ** 90n }), { minLength: 1, maxLength: 40 })
  .filter((list) => list.some((w) => w > 0n));
const amounts = fc.bigInt({ min: 0n, max: 2n ** 80n });

test('property: parts sum to the amount, each within one unit of its exact share', () => {
  fc.assert(
    fc.property(amounts, weights, (amount, list) => {
      const parts = splitAmount(amount, list);
      const total = list.reduce((a, b) => a + b, 0n);
      assert.equal(parts.length, list.length);
      assert.equal(
        parts.reduce((a, b) => a + b, 0n),
        amount,
      );
      for (const [i, part] of parts.entries()) {
        const away = part * total - amount * list[i]!;
        assert.ok(part >= 0n && away < total && away > -total);
        if (list[i] === 0n) assert.equal(part, 0n);
      }
    }),
  );
});

test('property: only the ratio of the weights counts', () => {
  fc.assert(
    fc.property(amounts, weights, fc.bigInt({ min: 1n, max: 10n ** 12n }), (amount, list, factor) => {
      assert.deepEqual(
        splitAmount(
          amount,
          list.map((w) => w * factor),
        ),
        splitAmount(amount, list),
      );
    }),
  );
});

test('AMOUNT: below zero, no weights, nothing but zeros', () => {
  for (const [amount, list] of [
    [-1n, [1n]],
    [1n, [2n, -1n]],
    [1n, []],
    [0n, []],
    [1n, [0n, 0n]],
  ] as [bigint, bigint[]][])
    assert.throws(() => splitAmount(amount, list), { code: 'AMOUNT' });
});
