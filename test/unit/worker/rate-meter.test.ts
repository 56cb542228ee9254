import assert from 'node:assert/strict';
import { it } from 'node:test';
import { RateMeter } from '#worker/rate-meter.ts';

it('counts the time that was worked, and forgets what is long past', () => {
  let now = 0;
  const meter = new RateMeter(() => now, 1_000);
  assert.equal(meter.perSecond(), 0);
  meter.add(300, 100);
  now = 900;
  meter.add(100, 100);
  assert.equal(meter.perSecond(), 2_000);
  now = 1_500;
  assert.equal(meter.perSecond(), 1_000);
  now = 2_000;
  assert.equal(meter.perSecond(), 0);
});
