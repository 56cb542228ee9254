import assert from 'node:assert/strict';
import { test } from 'node:test';
import { kindName, percentOf, windowWords } from '#coordinator/web/app/text/shares.ts';

test('parts of the credit in percent, rounded down, however large it is', () => {
  assert.equal(percentOf('1', '3'), 33.3);
  assert.equal(percentOf('0', '0'), 0);
  assert.equal(percentOf((2n ** 90n).toString(), (2n ** 91n).toString()), 50);
});

test('windows in words', () => {
  assert.equal(kindName({ kind: 'grinding' }), 'Grinding');
  assert.equal(windowWords({ scheme: 'pplns', units: 1_000 }), 'the newest 1,000 units of work');
  assert.equal(windowWords({ scheme: 'prop', units: 1 }), '1 unit since the last reward');
  assert.equal(windowWords({ scheme: 'solo', units: 1 }), 'one takes all');
  assert.equal(windowWords({ scheme: 'pplns', units: 0 }), 'nobody yet: this part goes to the pool');
});
