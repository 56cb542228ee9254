import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { NO_POW, powAfter, powUnder } from '#shared/pow/difficulty.ts';
import type { RetargetFields } from '#shared/pow/retarget.ts';

interface Sequence {
  readonly about: string;
  readonly pow: { readonly bits: number; readonly retarget: RetargetFields };
  readonly blocks: readonly { readonly submission: number; readonly part: number; readonly at: number }[];
  readonly bits: readonly number[];
}

const VECTORS = new URL('../../../vectors/pow-retarget.json', import.meta.url);
const { sequences }: { sequences: Sequence[] } = JSON.parse(readFileSync(VECTORS, 'utf8'));
const GENESIS = new Uint8Array(32);
const id = (submission: number) => new Uint8Array(32).fill(submission + 1);

describe('difficulty of Parameter blocks', () => {
  for (const { about, pow, blocks, bits } of sequences)
    it(`is what Python gives: ${about}`, () => {
      let state = NO_POW;
      const found = blocks.map(({ submission, part, at }, i) => {
        const passedMs = at - (blocks[i - 1]?.at ?? at);
        const demanded = powUnder(pow, state).bits;
        state = powAfter(pow, state, { submission: id(submission), part, passedMs });
        return demanded;
      });
      assert.deepEqual(found, bits);
    });

  const [{ pow }] = sequences as [Sequence];

  it('measures nothing in genesis, between submissions, and without a rule', () => {
    const genesis = powAfter(pow, NO_POW, { submission: GENESIS, part: 3, passedMs: 1 });
    assert.equal(genesis, NO_POW);
    const first = powAfter(pow, NO_POW, { submission: id(1), part: 0, passedMs: 10 ** 9 });
    assert.deepEqual([first.bits, first.blocks, first.spentMs], [pow.bits, 0, 0]);
    const { retarget: _, ...fixed } = pow;
    const still = powAfter(fixed, NO_POW, { submission: id(1), part: 1, passedMs: 1 });
    assert.deepEqual([still.bits, still.blocks], [pow.bits, 0]);
  });

  it('goes on under the same rule, and begins anew under another', () => {
    const part = { submission: id(1), part: 1, passedMs: 5 };
    const state = powAfter(pow, NO_POW, part);
    assert.equal(powUnder({ ...pow }, state), state);
    const other = { ...pow, retarget: { ...pow.retarget, aim_ms: pow.retarget.aim_ms + 1 } };
    assert.deepEqual(powUnder(other, state), {
      ...state,
      rule: powUnder(other, state).rule,
      blocks: 0,
      spentMs: 0,
    });
  });
});
