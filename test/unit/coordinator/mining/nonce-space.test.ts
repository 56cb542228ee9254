import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { type NonceRange, NonceSpace } from '#coordinator/mining/nonce-space.ts';

describe('NonceSpace', () => {
  it('hands out ranges in order, and what was lost before what is new', () => {
    const space = new NonceSpace();
    const [first, second] = [space.take(10n), space.take(5n)] as [NonceRange, NonceRange];
    assert.deepEqual(
      [first, second],
      [
        { start: 0n, end: 10n },
        { start: 10n, end: 15n },
      ],
    );
    space.lost(first);
    assert.deepEqual(space.take(4n), { start: 0n, end: 4n });
    assert.deepEqual(space.take(100n), { start: 4n, end: 10n });
    assert.deepEqual(space.take(1n), { start: 15n, end: 16n });
    space.searched(second);
    assert.deepEqual(space.coverage, { leased: 11n, searched: 5n, lost: 0n, skipped: 0n });
  });

  it('ends with the last of 2⁶⁴ nonces', () => {
    const space = new NonceSpace();
    const most = space.take((1n << 64n) - 1n) as NonceRange;
    assert.deepEqual(space.take(9n), { start: (1n << 64n) - 1n, end: 1n << 64n });
    assert.ok(space.isExhausted);
    assert.equal(space.take(1n), undefined);
    space.lost(most);
    assert.ok(!space.isExhausted);
    assert.deepEqual(space.take(1n), { start: 0n, end: 1n });
  });

  it('keeps every nonce in one place at a time', () => {
    const step = fc.record({
      act: fc.constantFrom('take', 'searched', 'lost', 'skipped'),
      count: fc.bigInt({ min: 1n, max: 50n }),
      which: fc.nat(9),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 80 }), (steps) => {
        const space = new NonceSpace();
        const leased: NonceRange[] = [];
        let most = 0n;
        for (const { act, count, which } of steps) {
          if (act === 'take') {
            const range = space.take(count) as NonceRange;
            assert.ok(range.end - range.start <= count && range.start < range.end);
            assert.ok(leased.every(({ start, end }) => range.end <= start || end <= range.start));
            leased.push(range);
            if (range.end > most) most = range.end;
          } else {
            const [range] = leased.splice(which % Math.max(1, leased.length), 1);
            if (range) space[act as 'searched' | 'lost' | 'skipped'](range);
          }
        }
        const parts = Object.values(space.coverage);
        assert.equal(
          parts.reduce((sum, part) => sum + part, 0n),
          most,
        );
      }),
    );
  });
});
