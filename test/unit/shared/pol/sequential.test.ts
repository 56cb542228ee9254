import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Manifest } from '#shared/block/manifest.ts';
import { gate } from '#shared/pol/gate.ts';
import { deltaAt, gateRule } from '#shared/pol/rule.ts';
import {
  firstDecision,
  type SequentialRule,
  type Standing,
  sequentialVerdict,
  standing,
} from '#shared/pol/sequential.ts';
import { seededUniform } from '#shared/weights/random.ts';
import { readVectors } from '#test/helpers/vectors.ts';

const vectors = readVectors<{
  standings: {
    base: number[];
    candidate: number[];
    delta: number;
    z: number;
    looks: number[];
    hopeless: number;
    clear: number | null;
    standing: Standing;
  }[];
  deltas: { gate: Manifest['gate']; values: { height: number; delta: number }[] }[];
}>('pol');

test('standings are those of exact fractions', () => {
  for (const { base, candidate, standing: expected, ...of } of vectors.standings) {
    const { delta, z, looks, hopeless, clear } = of;
    const rule = {
      deltaMicroNats: delta,
      zMilli: z,
      looks,
      hopelessZMilli: hopeless,
      ...(clear === null ? {} : { clearZMilli: clear }),
    };
    assert.equal(standing(base, candidate, rule), expected, JSON.stringify(rule));
  }
});

test('delta decays to its floor as in the vectors, and stays where no decay is asked for', () => {
  for (const { gate: of, values } of vectors.deltas)
    for (const { height, delta } of values) assert.equal(deltaAt(of, height), delta, `at ${height}`);
  const gateOf = { delta_micro_nats: 9, z_milli: 3_000, windows: 8 };
  assert.deepEqual(gateRule({ gate: gateOf }, 1e9), {
    deltaMicroNats: 9,
    zMilli: 3_000,
    looks: [8],
    hopelessZMilli: 0,
  });
});

const losses = (count: number) =>
  fc.array(fc.tuple(fc.nat(90_000), fc.nat(90_000)), { minLength: count, maxLength: count });

test('property: without looks on the way it is the fixed gate', () => {
  fc.assert(
    fc.property(losses(16), fc.nat(30_000), fc.nat(4_000), (pairs, deltaMicroNats, zMilli) => {
      const base = pairs.map(([loss]) => loss + 90_000);
      const candidate = pairs.map(([, loss]) => loss);
      const rule = { deltaMicroNats, zMilli, looks: [16], hopelessZMilli: 0 };
      const { stop, ...verdict } = sequentialVerdict(base, candidate, rule);
      assert.deepEqual(verdict, gate(base, candidate, rule));
      assert.equal(stop, verdict.passed ? 'clear' : 'hopeless');
    }),
  );
});

const RULE: SequentialRule = {
  deltaMicroNats: 30_000,
  zMilli: 3_000,
  looks: [16, 32, 64, 128],
  hopelessZMilli: 4_000,
};

/** Losses of a base, and of a candidate that gains `gain` on average, as far as they decide. */
function decided(gain: number, sd: number, uniform: () => number) {
  const base = Array.from({ length: 128 }, () => 5_000_000);
  const candidate = base.map((loss) => {
    const normal = Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform());
    return Math.round(loss - gain - sd * normal);
  });
  const at = firstDecision(base, candidate, RULE);
  assert.ok(at, 'the last look always decides');
  return { at, base: base.slice(0, at.windows), candidate: candidate.slice(0, at.windows) };
}

test('the hopeless are stopped early, the clear at the half, and the better ones pass', () => {
  const uniform = seededUniform(7);
  const of = (gain: number, sd: number) => Array.from({ length: 300 }, () => decided(gain, sd, uniform).at);
  const share = (list: { windows: number }[]) =>
    list.reduce((sum, { windows }) => sum + windows, 0) / (300 * 128);
  const equal = of(0, 65_000);
  assert.equal(equal.filter(({ stop }) => stop === 'clear').length, 0);
  assert.ok(share(equal) <= 0.25, `${share(equal)} of the windows for the hopeless`);
  const better = of(60_000, 65_000);
  assert.ok(better.filter(({ stop }) => stop === 'clear').length >= 285);
  const clear = of(150_000, 65_000);
  assert.ok(clear.every(({ stop, windows }) => stop === 'clear' && windows === 64));
});

test('never clear before the half, however good; equal losses are hopeless at the first look', () => {
  const base = Array.from({ length: 16 }, () => 5_000_000);
  assert.equal(
    standing(
      base,
      base.map(() => 1),
      RULE,
    ),
    'open',
  );
  assert.equal(standing(base, base, RULE), 'hopeless');
});

test('ATTESTATION: losses that end before the look that decides, behind it, or at none', () => {
  const uniform = seededUniform(3);
  const { base, candidate } = decided(150_000, 65_000, uniform);
  assert.equal(sequentialVerdict(base, candidate, RULE).stop, 'clear');
  for (const count of [0, 1, 16, 32, 63])
    assert.throws(() => sequentialVerdict(base.slice(0, count), candidate.slice(0, count), RULE), {
      code: 'ATTESTATION',
    });
  const longer = (list: number[]) => [...list, ...list];
  assert.throws(() => sequentialVerdict(longer(base), longer(candidate), RULE), { code: 'ATTESTATION' });
  assert.throws(() => sequentialVerdict(base, candidate.slice(0, 16), RULE), { code: 'ATTESTATION' });
});

test('what is not finite ends at its look, and never passes', () => {
  const base = Array.from({ length: 32 }, () => 5_000_000);
  for (const bad of [null, Number.NaN, Number.POSITIVE_INFINITY, -1, 0.5]) {
    const candidate = base.map((loss, i) => (i === 20 ? (bad as number) : loss - 200_000));
    const verdict = sequentialVerdict(base, candidate, RULE);
    assert.deepEqual([verdict.stop, verdict.passed, verdict.windows], ['not-finite', false, 32]);
  }
  const wrong = base.with(3, Number.NaN);
  assert.throws(() => sequentialVerdict(wrong, base, RULE), { code: 'LOSS_NOT_FINITE' });
});
