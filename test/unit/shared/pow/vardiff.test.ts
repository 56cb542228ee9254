import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { MAX_TARGET } from '#shared/pow/target.ts';
import { DEFAULT_VARDIFF, firstDifficulty, nextDifficulty, shareTarget } from '#shared/pow/vardiff.ts';

const RULE = DEFAULT_VARDIFF;
const MINUTE_MS = 60_000;

describe('nextDifficulty', () => {
  it('waits until enough was seen', () => {
    assert.equal(nextDifficulty(RULE, 1n << 30n, { shares: 0, ms: 59_999 }), undefined);
    assert.equal(nextDifficulty(RULE, 1n << 30n, { shares: 47, ms: 2_000 }), undefined);
    assert.notEqual(nextDifficulty(RULE, 1n << 30n, { shares: 48, ms: 2_000 }), undefined);
  });

  it('leaves a rate within the slack alone', () => {
    for (const shares of [3, 5, 6, 7, 12])
      assert.equal(nextDifficulty(RULE, 12_345_678_901n, { shares, ms: MINUTE_MS }), 12_345_678_901n);
  });

  it('beyond it goes to the wished rate, exactly, above 2^31 and 2^53', () => {
    for (const current of [3_000_000_001n, (1n << 31n) + 7n, (1n << 53n) + 1n]) {
      assert.equal(nextDifficulty(RULE, current, { shares: 24, ms: MINUTE_MS }), current * 4n);
      assert.equal(nextDifficulty(RULE, current, { shares: 2, ms: MINUTE_MS }), current / 3n);
    }
  });

  it('goes one step at most, and stays within the bounds', () => {
    const at = (current: bigint, shares: number, ms = MINUTE_MS) =>
      nextDifficulty(RULE, current, { shares, ms });
    assert.equal(at(1n << 40n, 100_000), 1n << 43n);
    assert.equal(at(1n << 40n, 0), 1n << 37n);
    assert.equal(at(1n << 59n, 100_000), RULE.hardest);
    assert.equal(at(1n << 17n, 0), RULE.easiest);
    assert.equal(at(1n, 6), RULE.easiest, 'also where the rate is right');
    assert.equal(at(1n << 40n, 48, 0), 1n << 43n, 'no time at all');
  });

  it('brings workers of any speed to the wished rate, and keeps them there', () => {
    for (const hashesPerSecond of [2e5, 3e7, 2e10, 1e14]) {
      let difficulty = firstDifficulty(RULE, 0);
      let [shares, ms] = [0, 0];
      let last = 0;
      for (let second = 0; second < 3_600; second++) {
        shares += hashesPerSecond / Number(difficulty);
        ms += 1_000;
        const next = nextDifficulty(RULE, difficulty, { shares: Math.floor(shares), ms });
        if (next === undefined) continue;
        if (next !== difficulty) last = second;
        [difficulty, shares, ms] = [next, 0, 0];
      }
      const perMinute = (hashesPerSecond * 60) / Number(difficulty);
      assert.ok(perMinute >= 3 && perMinute <= 12, `${hashesPerSecond}: ${perMinute} shares a minute`);
      assert.ok(last < 600, `${hashesPerSecond}: still changed after ${last} s`);
    }
  });

  it('is always within bounds and one step', () => {
    fc.assert(
      fc.property(
        fc.bigInt({ min: RULE.easiest, max: RULE.hardest }),
        fc.nat(1_000_000),
        fc.nat(10_000_000),
        (current, shares, ms) => {
          const next = nextDifficulty(RULE, current, { shares, ms });
          if (next === undefined) return;
          assert.ok(next >= RULE.easiest && next <= RULE.hardest);
          assert.ok(next <= current * 8n && next >= current / 8n);
        },
      ),
    );
  });
});

describe('firstDifficulty', () => {
  it('follows the measured rate within the bounds', () => {
    assert.equal(firstDifficulty(RULE, 1e9), 10_000_000_000n);
    assert.equal(firstDifficulty(RULE, 0), RULE.easiest);
    assert.equal(firstDifficulty(RULE, 1e300), RULE.hardest);
  });

  it('BAD_REQUEST: refuses what is no rate', () => {
    for (const rate of [-1, Number.NaN, Number.POSITIVE_INFINITY])
      assert.throws(() => firstDifficulty(RULE, rate), { code: 'BAD_REQUEST' });
  });
});

describe('shareTarget', () => {
  it('is met by one hash in `difficulty`, rounded down', () => {
    assert.equal(shareTarget(1n), MAX_TARGET);
    assert.equal(shareTarget(1n << 60n), (1n << 196n) - 1n);
    fc.assert(
      fc.property(fc.bigInt({ min: 1n, max: 1n << 70n }), (difficulty) => {
        assert.equal((MAX_TARGET + 1n) / (shareTarget(difficulty) + 1n), difficulty);
      }),
    );
  });

  it('BAD_REQUEST: refuses what is no difficulty', () => {
    for (const difficulty of [0n, -1n, MAX_TARGET + 1n])
      assert.throws(() => shareTarget(difficulty), { code: 'BAD_REQUEST' });
  });
});
