import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type GateVerdict, gate, isLoss, MAX_LOSS_MICRO_NATS, quantiseLoss } from '#shared/pol/gate.ts';
import { readVectors } from '#test/helpers/vectors.ts';

const { cases } = readVectors<{
  cases: { base: number[]; candidate: number[]; delta: number; z: number; verdict: GateVerdict }[];
}>('gate');

test('verdicts are those of exact fractions', () => {
  for (const { base, candidate, delta, z, verdict } of cases)
    assert.deepEqual(gate(base, candidate, { deltaMicroNats: delta, zMilli: z }), verdict);
  const passed = cases.filter(({ verdict }) => verdict.passed).length;
  assert.ok(passed > 10 && cases.length - passed > 10, 'the vectors hold both verdicts');
});

test('the boundary belongs to those that pass', () => {
  // d = 5 and 7: mean 6, standard deviation √2, standard error 1.
  const judge = (deltaMicroNats: number, zMilli: number) =>
    gate([100, 100], [95, 93], { deltaMicroNats, zMilli }).passed;
  assert.deepEqual([judge(5, 1000), judge(5, 1001), judge(6, 0), judge(7, 0)], [true, false, true, false]);
});

const rule = { deltaMicroNats: 2_000, zMilli: 3_000 };
const BAD = [
  Number.NaN,
  Number.POSITIVE_INFINITY,
  Number.NEGATIVE_INFINITY,
  -1,
  0.5,
  MAX_LOSS_MICRO_NATS + 1,
  2 ** 53,
];

test('LOSS_NOT_FINITE: any loss on either side that is no whole number of micro-nats', () => {
  const good = Array.from({ length: 8 }, () => 5_000_000);
  for (const bad of [...BAD, null, undefined, '1', 1n, true]) {
    for (const at of [0, 3, 7]) {
      const wrong = good.with(at, bad as number);
      assert.throws(() => gate(wrong, good, rule), { code: 'LOSS_NOT_FINITE' }, `base ${String(bad)}`);
      assert.throws(() => gate(good, wrong, rule), { code: 'LOSS_NOT_FINITE' }, `candidate ${String(bad)}`);
    }
  }
  assert.throws(() => gate(new Array<number>(8), good, rule), { code: 'LOSS_NOT_FINITE' }, 'a list of holes');
});

test('ATTESTATION: lists of different length, or of fewer than two windows', () => {
  for (const [base, candidate] of [
    [[], []],
    [[1], [1]],
    [[1, 2], [1]],
    [[1], [1, 2]],
  ] as number[][][])
    assert.throws(() => gate(base!, candidate!, rule), { code: 'ATTESTATION' });
});

const losses = fc.integer({ min: 0, max: MAX_LOSS_MICRO_NATS });
const pairs = fc.array(fc.tuple(losses, losses), { minLength: 2, maxLength: 80 });
const rules = fc.record({ deltaMicroNats: fc.nat(1_000_000), zMilli: fc.nat(5_000) });
const judge = (list: readonly [number, number][], by: { deltaMicroNats: number; zMilli: number }) =>
  gate(
    list.map(([base]) => base),
    list.map(([, candidate]) => candidate),
    by,
  );
/** Pairs that pass often enough to say something. */
const gains = fc.array(
  fc
    .tuple(fc.integer({ min: 3_000_000, max: 3_100_000 }), fc.integer({ min: 0, max: 60_000 }))
    .map(([base, gain]): [number, number] => [base, base - gain]),
  { minLength: 2, maxLength: 80 },
);

test('property: the order of the windows does not matter', () => {
  fc.assert(
    fc.property(fc.oneof(pairs, gains), rules, (list, by) => {
      const turned = [...list.slice(1), list[0]!].reverse();
      assert.deepEqual(judge(turned, by), judge(list, by));
    }),
  );
});

test('property: a stricter rule never passes what a milder one refuses', () => {
  fc.assert(
    fc.property(fc.oneof(pairs, gains), rules, fc.nat(10_000), (list, by, more) => {
      const strict = [
        { ...by, deltaMicroNats: by.deltaMicroNats + more },
        { ...by, zMilli: by.zMilli + more },
      ];
      if (strict.some((s) => judge(list, s).passed)) assert.ok(judge(list, by).passed);
    }),
  );
});

test('property: a candidate that is better by the same on every window passes more, never less', () => {
  fc.assert(
    fc.property(gains, rules, fc.nat(100_000), (list, by, more) => {
      const better = list.map(([base, candidate]): [number, number] => [base, candidate - more]);
      if (judge(list, by).passed) assert.ok(judge(better, by).passed);
    }),
  );
});

test('property: what passes has a mean gain of at least δ, and the margin fits between', () => {
  fc.assert(
    fc.property(fc.oneof(pairs, gains), rules, (list, by) => {
      const verdict = judge(list, by);
      const exact = list.reduce((sum, [base, candidate]) => sum + base - candidate, 0) / list.length;
      assert.ok(verdict.marginMicroNats >= 0);
      if (verdict.passed) assert.ok(exact - by.deltaMicroNats >= verdict.marginMicroNats - 1);
      else assert.ok(exact - by.deltaMicroNats < verdict.marginMicroNats || exact < by.deltaMicroNats);
    }),
  );
});

test('property: a candidate equal to the base passes under no positive δ', () => {
  fc.assert(
    fc.property(
      fc.array(losses, { minLength: 2 }),
      fc.integer({ min: 1, max: 1000 }),
      (list, deltaMicroNats) => {
        assert.equal(gate(list, list, { deltaMicroNats, zMilli: 0 }).passed, false);
      },
    ),
  );
});

test('losses are quantised to whole micro-nats; what is none becomes null', () => {
  const wanted: [number, number | null][] = [
    [0, 0],
    [4.9999995, 5_000_000],
    [1.2345674, 1_234_567],
    [1000, MAX_LOSS_MICRO_NATS],
    [1000.000001, null],
    [-0.000002, null],
    [Number.NaN, null],
    [Number.POSITIVE_INFINITY, null],
    [Number.NEGATIVE_INFINITY, null],
    [1e300, null],
  ];
  for (const [nats, micro] of wanted) assert.equal(quantiseLoss(nats), micro, String(nats));
});

test('a loss that rounds to zero from below is plain zero', () => {
  assert.ok(Object.is(quantiseLoss(-1e-9), 0));
  assert.ok(Object.is(quantiseLoss(-0), 0));
});

test('property: what is quantised is a loss', () => {
  fc.assert(fc.property(fc.double(), (nats) => quantiseLoss(nats) === null || isLoss(quantiseLoss(nats))));
});
