import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { seededUniform } from '#shared/weights/random.ts';
import { sampleToken } from '#worker/chat/sample.ts';

const logits = Float32Array.from([0, Math.log(2), Math.log(5), -1e30]);

function counts(options: { temperature: number; topK?: number }, draws = 8000): number[] {
  const uniform = seededUniform(1);
  const seen = [0, 0, 0, 0];
  for (let i = 0; i < draws; i++) seen[sampleToken(logits, { ...options, uniform })]!++;
  return seen.map((count) => count / draws);
}

/** Four standard deviations of a share among 8,000 draws. */
const SLACK = 4 * Math.sqrt(0.25 / 8000);

function near(actual: number[], expected: number[]): void {
  for (const [i, share] of expected.entries()) assert.ok(Math.abs(actual[i]! - share) < SLACK, `${actual}`);
}

describe('sampleToken', () => {
  it('draws by the softmax of logits over temperature', () => {
    near(counts({ temperature: 1 }), [1 / 8, 2 / 8, 5 / 8, 0]);
    near(counts({ temperature: 0.5 }), [1 / 30, 4 / 30, 25 / 30, 0]);
    assert.deepEqual(counts({ temperature: 1e-9 }), [0, 0, 1, 0]);
  });

  it('draws among the topK likeliest only', () => {
    near(counts({ temperature: 1, topK: 2 }), [0, 2 / 7, 5 / 7, 0]);
    assert.deepEqual(counts({ temperature: 1, topK: 1 }), [0, 0, 1, 0]);
    near(counts({ temperature: 1, topK: 99 }), [1 / 8, 2 / 8, 5 / 8, 0]);
  });

  it('takes the likeliest at temperature 0, the lowest id among equals', () => {
    const uniform = () => 0.999;
    assert.equal(sampleToken(logits, { temperature: 0, uniform }), 2);
    assert.equal(sampleToken(Float32Array.from([1, 3, 3]), { temperature: 0, uniform }), 1);
  });

  it('never draws what is not finite', () => {
    const odd = Float32Array.from([Number.NaN, Number.NEGATIVE_INFINITY, 0, Number.POSITIVE_INFINITY]);
    for (const value of [0, 0.5, 1 - 2 ** -32]) {
      assert.equal(sampleToken(odd, { temperature: 1, uniform: () => value }), 2);
    }
    assert.equal(sampleToken(new Float32Array(3).fill(Number.NaN), { temperature: 1, uniform: () => 0 }), 0);
  });
});
