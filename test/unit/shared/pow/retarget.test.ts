import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { checkRetargetRule, nextBits, type RetargetRule, type Window } from '#shared/pow/retarget.ts';
import { expectedHashes, targetFromBits } from '#shared/pow/target.ts';

interface Case {
  readonly about: string;
  readonly rule: RetargetRule;
  readonly window: Window;
  readonly bits: number;
}

const VECTORS = new URL('../../../vectors/pow-retarget.json', import.meta.url);
const { cases }: { cases: Case[] } = JSON.parse(readFileSync(VECTORS, 'utf8'));
const RULE: RetargetRule = { aimMs: 10_000, windowBlocks: 20, clamp: 4, easiestBits: 0x207fffff };

describe('nextBits', () => {
  for (const { about, rule, window, bits } of cases) {
    it(`gives what Python gives: ${about}`, () => {
      checkRetargetRule(rule);
      assert.equal(nextBits(rule, window), bits);
    });
  }

  it('comes to the time that is wished for, at any hash rate', () => {
    for (const hashesPerMs of [1_000, 40_000_000, 3_000_000_000_000]) {
      let bits = 0x1e3fffff;
      const spent = () => Math.round(Number(expectedHashes(bits)) / hashesPerMs) * RULE.windowBlocks;
      for (let index = 19; index < 800; index += 20) bits = nextBits(RULE, { index, bits, spentMs: spent() });
      const blockMs = spent() / RULE.windowBlocks;
      assert.ok(Math.abs(blockMs / RULE.aimMs - 1) < 0.01, `${hashesPerMs}: ${blockMs} ms`);
    }
  });

  it('is harder after a shorter time and easier after a longer one', () => {
    const target = (spentMs: number) =>
      targetFromBits(nextBits(RULE, { index: 19, bits: 0x1b0404cb, spentMs }));
    const targets = [1, 60_000, 150_000, 200_000, 300_000, 900_000].map(target);
    assert.deepEqual(
      targets,
      [...targets].sort((a, b) => (a < b ? -1 : 1)),
    );
    assert.ok(target(1) < targetFromBits(0x1b0404cb) && target(900_000) > targetFromBits(0x1b0404cb));
  });
});

describe('checkRetargetRule', () => {
  it('BLOCK_ENCODING: refuses a rule that cannot be followed', () => {
    const wrong: Partial<RetargetRule>[] = [
      { aimMs: 0 },
      { aimMs: 1.5 },
      { aimMs: 2 ** 41 },
      { windowBlocks: 0 },
      { windowBlocks: Number.NaN },
      { clamp: 1 },
      { clamp: 1_001 },
      { easiestBits: 0 },
      { easiestBits: 2 ** 32 },
    ];
    for (const fault of wrong) {
      assert.throws(() => checkRetargetRule({ ...RULE, ...fault }), { code: 'BLOCK_ENCODING' });
    }
  });
});
