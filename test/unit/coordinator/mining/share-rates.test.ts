import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { WorkerSession } from '#coordinator/dispatch/worker-session.ts';
import { ShareRates } from '#coordinator/mining/share-rates.ts';
import { DEFAULT_VARDIFF } from '#shared/pow/vardiff.ts';

const session = (hashesPerSecond: number) => ({ hashesPerSecond }) as WorkerSession;

function setUp() {
  const clock = { now: 1_000 };
  return { clock, rates: new ShareRates(DEFAULT_VARDIFF, () => clock.now) };
}

describe('ShareRates', () => {
  it('starts with what the worker says, and follows what its shares say', () => {
    const { clock, rates } = setUp();
    const worker = session(1_000_000);
    const first = rates.difficulty(worker);
    assert.equal(first, 10_000_000n);
    rates.leased(worker);
    for (let i = 0; i < 60; i++) rates.shared(worker, first);
    clock.now += 60_000;
    // Ten times the wished rate, at most eight times at once.
    assert.equal(rates.difficulty(worker), 80_000_000n);
    assert.equal(rates.difficulty(worker), 80_000_000n);
  });

  it('counts easy shares for what they are worth, and only time with a lease', () => {
    const { clock, rates } = setUp();
    const worker = session(1_000_000);
    const first = rates.difficulty(worker);
    rates.leased(worker);
    for (let i = 0; i < 600; i++) rates.shared(worker, first / 100n);
    clock.now += 60_000;
    rates.returned(worker);
    clock.now += 3_600_000;
    assert.equal(rates.difficulty(worker), first);
    assert.equal(Math.round(rates.perSecond(worker)), 1_000_000);
  });

  it('forgets old work by and by, and knows nothing of a stranger', () => {
    const { clock, rates } = setUp();
    const worker = session(0);
    assert.equal(rates.perSecond(worker), 0);
    rates.leased(worker);
    for (const perSecond of [1_000n, 4_000n])
      for (let minute = 0; minute < 60; minute++) {
        clock.now += 60_000;
        rates.shared(worker, perSecond * 60n);
        rates.perSecond(worker);
      }
    const rate = rates.perSecond(worker);
    assert.ok(rate > 3_900 && rate <= 4_000, String(rate));
  });

  it('goes easier when none come', () => {
    const { clock, rates } = setUp();
    const worker = session(1_000_000_000);
    const first = rates.difficulty(worker);
    rates.leased(worker);
    clock.now += 60_000;
    assert.equal(rates.difficulty(worker), first / 8n);
  });
});
