import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import * as tf from '@tensorflow/tfjs';
import { plainLogits } from '#test/helpers/plain-gpt2.ts';
import { onBackend, roughWeights, smallConfig } from '#test/helpers/tensors.ts';
import { type GenerateOptions, generate } from '#worker/chat/generate.ts';
import { startBackend } from '#worker/model/backend/start.ts';
import { Model } from '#worker/model/model.ts';
import { toTensors } from '#worker/model/tensors.ts';
import { fromValues } from '#worker/model/weight-set.ts';

const config = smallConfig();
const weights = roughWeights(config, 3);
const PROMPT = [5, 1, 9];

describe('generate', () => {
  let model: Model;
  before(async () => {
    await startBackend('wasm');
    model = await Model.load(config, fromValues(weights));
  });
  after(() => model.dispose());

  async function answer(prompt: number[], options: Partial<GenerateOptions> = {}): Promise<number[]> {
    const tokens: number[] = [];
    const all = { maxTokens: 20, temperature: 1, seed: 1, ...options };
    for await (const token of generate(model, prompt, all)) tokens.push(token);
    return tokens;
  }

  /** The likeliest tokens by the plain network, which has no cache and reads everything each time. */
  function greedy(prompt: number[], count: number): Promise<number[]> {
    return onBackend('cpu', () => {
      const seen = [...prompt];
      while (seen.length < prompt.length + count) {
        const next = tf.tidy(() => {
          const logits = plainLogits(config, toTensors(config, weights), { ids: seen, time: seen.length });
          return tf.argMax(logits, 1).dataSync()[seen.length - 1]!;
        });
        seen.push(next);
      }
      return seen.slice(prompt.length);
    });
  }

  it('takes the likeliest token at temperature 0', async () => {
    const room = config.context - PROMPT.length + 1;
    assert.deepEqual(await answer(PROMPT, { temperature: 0, maxTokens: room }), await greedy(PROMPT, room));
  });

  it('goes on past the context from the newer half of it', async () => {
    const { context } = config;
    const room = context - PROMPT.length + 1;
    const tokens = await answer(PROMPT, { temperature: 0, maxTokens: room + 3 });
    const kept = [...PROMPT, ...tokens.slice(0, room)].slice(-context / 2);
    assert.deepEqual(tokens.slice(room), await greedy(kept, 3));
  });

  it('reads the end of a prompt that is longer than the context', async () => {
    const long = Array.from({ length: 40 }, (_, i) => i % config.vocabulary);
    const [first] = await answer(long, { temperature: 0, maxTokens: 1 });
    assert.deepEqual([first], await greedy(long.slice(-(config.context - 1)), 1));
    assert.equal((await answer(long, { maxTokens: 30 })).length, 30);
  });

  it('gives the same answer for the same seed and another for another', async () => {
    const one = await answer(PROMPT, { seed: 7, topK: 20 });
    assert.deepEqual(await answer(PROMPT, { seed: 7, topK: 20 }), one);
    assert.notDeepEqual(await answer(PROMPT, { seed: 8, topK: 20 }), one);
    assert.equal((await answer(PROMPT, {})).length, 20);
  });

  it('ends before a stop token', async () => {
    const free = await answer(PROMPT, { temperature: 0, maxTokens: 8 });
    const stop = free[3]!;
    const cut = free.slice(0, free.indexOf(stop));
    assert.deepEqual(await answer(PROMPT, { temperature: 0, maxTokens: 8, stopTokens: [stop] }), cut);
  });

  it('stops within one token of an abort, and frees its cache however it ends', async () => {
    const tensors = tf.memory().numTensors;
    const control = new AbortController();
    const tokens: number[] = [];
    const run = async () => {
      const options = { maxTokens: 100, temperature: 1, seed: 1, signal: control.signal };
      for await (const token of generate(model, PROMPT, options)) {
        tokens.push(token);
        if (tokens.length === 5) control.abort(new Error('client gone'));
      }
    };
    await assert.rejects(run(), /client gone/);
    assert.equal(tokens.length, 5);
    for await (const _ of generate(model, PROMPT, { maxTokens: 9, temperature: 1 })) break;
    assert.equal(tf.memory().numTensors, tensors);
  });

  it('BAD_REQUEST: refuses an empty prompt and unknown tokens', async () => {
    for (const prompt of [[], [config.vocabulary], [-1]]) {
      await assert.rejects(answer(prompt), { code: 'BAD_REQUEST' });
    }
  });
});
