import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { seededUniform } from '#shared/weights/random.ts';
import { readVectors } from '#test/helpers/vectors.ts';
import { penalised, restricted, type Sampling, sampleToken } from '#worker/chat/sampling.ts';

const OFF: Sampling = { temperature: 1, topK: 0, topP: 1, minP: 0, repetitionPenalty: 1 };
const logits = Float32Array.from([0, Math.log(2), Math.log(5), -1e30]);

interface Case {
  readonly logits: number[];
  readonly seen: number[];
  readonly temperature: number;
  readonly top_k: number;
  readonly top_p: number;
  readonly min_p: number;
  readonly repetition_penalty: number;
  readonly probabilities: number[];
}

function shares(change: Partial<Sampling>, draws = 8000): number[] {
  const uniform = seededUniform(1);
  const seen = [0, 0, 0, 0];
  for (let i = 0; i < draws; i++) seen[sampleToken(logits, { ...OFF, ...change, seen: [], uniform })]!++;
  return seen.map((count) => count / draws);
}

/** Four standard deviations of a share among 8,000 draws. */
const SLACK = 4 * Math.sqrt(0.25 / 8000);

function near(actual: number[], expected: number[]): void {
  for (const [i, share] of expected.entries()) assert.ok(Math.abs(actual[i]! - share) < SLACK, `${actual}`);
}

describe('sampling', () => {
  it('gives the probabilities of transformers', () => {
    const { cases } = readVectors<{ cases: Case[] }>('sampling');
    assert.ok(cases.length > 20);
    for (const one of cases) {
      const { temperature, top_k: topK, top_p: topP, min_p: minP } = one;
      const before = penalised(Float32Array.from(one.logits), one.seen, one.repetition_penalty);
      const scores = restricted(before, { temperature, topK, topP, minP });
      const weights = Array.from(scores, Math.exp);
      const total = weights.reduce((sum, weight) => sum + weight);
      weights.forEach((weight, token) => {
        const expected = one.probabilities[token] as number;
        assert.equal(weight === 0, expected === 0, `token ${token} of ${JSON.stringify(one)}`);
        assert.ok(Math.abs(weight / total - expected) < 1e-6, `token ${token} of ${JSON.stringify(one)}`);
      });
    }
  });

  it('draws by the softmax of logits over temperature', () => {
    near(shares({}), [1 / 8, 2 / 8, 5 / 8, 0]);
    near(shares({ temperature: 0.5 }), [1 / 30, 4 / 30, 25 / 30, 0]);
    assert.deepEqual(shares({ temperature: 1e-9 }), [0, 0, 1, 0]);
    near(shares({ topK: 2 }), [0, 2 / 7, 5 / 7, 0]);
    near(shares({ topP: 0.7 }), [0, 2 / 7, 5 / 7, 0]);
    near(shares({ minP: 0.3 }), [0, 2 / 7, 5 / 7, 0]);
  });

  it('keeps all tokens that are as likely as the last one kept', () => {
    const equal = () => Float32Array.from([1, 0, 1, 0, 0]);
    const kept = (how: Partial<Sampling>) =>
      Array.from(restricted(equal(), { ...OFF, ...how }), (score) => score > Number.NEGATIVE_INFINITY);
    assert.deepEqual(kept({ topK: 1 }), [true, false, true, false, false]);
    assert.deepEqual(kept({ topK: 3 }), [true, true, true, true, true]);
    assert.deepEqual(kept({ topP: 0.3 }), [true, false, true, false, false]);
  });

  it('takes the likeliest at temperature 0, the lowest id among equals, after the penalty', () => {
    const take = (values: number[], more: Partial<Sampling> & { seen?: number[] } = {}) =>
      sampleToken(Float32Array.from(values), {
        ...OFF,
        temperature: 0,
        seen: [],
        uniform: () => 0.999,
        ...more,
      });
    assert.equal(take([0, 1, 5]), 2);
    assert.equal(take([1, 3, 3]), 1);
    assert.equal(take([1, 3, 4], { seen: [2, 2], repetitionPenalty: 1.5 }), 1);
    assert.equal(take([-1, -1.1], { seen: [0], repetitionPenalty: 1.5 }), 1);
  });

  it('never draws what is not finite', () => {
    const odd = Float32Array.from([Number.NaN, Number.NEGATIVE_INFINITY, 0, Number.POSITIVE_INFINITY]);
    const none = new Float32Array(3).fill(Number.NaN);
    for (const value of [0, 0.5, 1 - 2 ** -32]) {
      const how = { ...OFF, topK: 2, topP: 0.9, minP: 0.1, seen: [0, 1], uniform: () => value };
      assert.equal(sampleToken(odd, { ...how, repetitionPenalty: 1.2 }), 2);
      assert.equal(sampleToken(none, how), 0);
    }
  });
});
