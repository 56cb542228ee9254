import assert from 'node:assert/strict';
import { test } from 'node:test';
import { holdsOut } from '#shared/pol/held-out.ts';

const base = [5_000_000, 4_000_000, 6_000_000];
const gaining = (...gains: number[]) => base.map((loss, i) => loss - (gains[i] ?? 0));

test('half of delta on the mean is enough, less is not', () => {
  assert.ok(holdsOut(base, gaining(500, 500, 500), 1_000));
  assert.ok(holdsOut(base, gaining(2_000, -1_000, 500), 1_000), 'the mean counts, not each window');
  assert.ok(!holdsOut(base, gaining(500, 500, 499), 1_000));
  assert.ok(!holdsOut(base, base, 1));
  assert.ok(holdsOut(base, base, 0));
});

test('losses that are none, and lists that do not fit, are refused', () => {
  for (const bad of [Number.NaN, Number.POSITIVE_INFINITY, -1, 0.5])
    assert.throws(() => holdsOut(base, base.with(1, bad), 0), { code: 'LOSS_NOT_FINITE' });
  assert.throws(() => holdsOut(base, base.slice(1), 0), { code: 'ATTESTATION' });
  assert.throws(() => holdsOut([], [], 0), { code: 'ATTESTATION' });
});
