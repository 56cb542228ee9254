import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  formatAgo,
  formatBytes,
  formatCount,
  formatDuration,
  formatHashRate,
  formatLoss,
  formatPerplexity,
  formatPlural,
  formatShape,
  formatTokenRate,
  formatTokens,
  MISSING,
  shorten,
} from '#coordinator/web/app/text/format.ts';

test('numbers carry three significant digits and their unit', () => {
  assert.equal(formatBytes(0), '0 B');
  assert.equal(formatBytes(512), '512 B');
  assert.equal(formatBytes(65_536), '65.5 kB');
  assert.equal(formatBytes(999_700), '1.00 MB');
  assert.equal(formatBytes(1_900_000_000), '1.90 GB');
  assert.equal(formatHashRate(1_310_000), '1.31 MH/s');
  assert.equal(formatHashRate(12.5), '12.5 H/s');
  assert.equal(formatTokenRate(9_400.4), '9,400 tokens/s');
  assert.equal(formatTokenRate(2_500_000), '2.50 M tokens/s');
});

test('a number that is not finite is a dash', () => {
  for (const format of [formatCount, formatBytes, formatLoss, formatHashRate, formatDuration]) {
    assert.equal(format(Number.NaN), MISSING);
    assert.equal(format(Number.POSITIVE_INFINITY), MISSING);
  }
  assert.equal(formatLoss(null), MISSING);
  assert.equal(formatPerplexity(1e6), MISSING);
});

test('plurals, losses, perplexities and shapes', () => {
  assert.equal(formatPlural(1, 'block'), '1 block');
  assert.equal(formatPlural(1_028, 'block'), '1,028 blocks');
  assert.equal(formatLoss(4.2), '4.200');
  assert.equal(formatPerplexity(Math.log(1024)), '1,024');
  assert.equal(formatPerplexity(Math.log(2.5)), '2.5');
  assert.equal(formatShape([512, 128]), '512 × 128');
  assert.equal(formatShape([]), 'scalar');
});

test('token amounts are rounded down to four decimals, never up', () => {
  assert.equal(formatTokens('3250000000'), '32.5');
  assert.equal(formatTokens('199999999'), '1.9999');
  assert.equal(formatTokens('1'), '0');
  assert.equal(formatTokens('123456700000000'), '1,234,567');
  assert.equal(formatTokens('-150000000'), '-1.5');
  assert.equal(formatTokens('12.5'), MISSING);
  assert.equal(formatTokens(''), MISSING);
});

test('times are told in their largest unit, and the future counts as now', () => {
  const now = 1_000_000_000;
  assert.equal(formatAgo(now + 60_000, now), 'just now');
  assert.equal(formatAgo(now - 1_999, now), 'just now');
  assert.equal(formatAgo(now - 2_000, now), '2 s ago');
  assert.equal(formatAgo(now - 59_999, now), '59 s ago');
  assert.equal(formatAgo(now - 60_000, now), '1 min ago');
  assert.equal(formatAgo(now - 3_600_000, now), '1 h ago');
  assert.equal(formatAgo(now - 200_000_000, now), '2 d ago');
  assert.equal(formatAgo(Date.UTC(2026, 0, 1), Date.UTC(2026, 10, 22)), '1 Jan 2026');
  assert.equal(formatDuration(840), '840 ms');
  assert.equal(formatDuration(4_030), '4.0 s');
  assert.equal(formatDuration(42_000), '42 s');
  assert.equal(formatDuration(180_000), '3 min');
});

test('long hashes are shortened, short texts are left alone', () => {
  assert.equal(shorten('0123456789abcdef'), '012345…cdef');
  assert.equal(shorten('0123456789a'), '0123456789a');
});
