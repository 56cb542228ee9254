import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { chatRequestSchema } from '#shared/api/chat-schemas.ts';
import { modelDefaults, samplingOf } from '#worker/chat/answer-settings.ts';

const POOL = { temperature: 0.8, topK: 0, topP: 1, minP: 0, repetitionPenalty: 1 };
const defaults = (generation?: object | string, config: object = {}, endOfText: number | null = null) => {
  const text = typeof generation === 'string' ? generation : JSON.stringify(generation);
  return modelDefaults({ config: JSON.stringify(config), generation_config: text }, endOfText);
};

describe('modelDefaults', () => {
  it('are the pool’s where the model has no file, or one that cannot be read', () => {
    for (const file of [undefined, {}, '{', '[]', '"x"']) assert.deepEqual(defaults(file).sampling, POOL);
  });

  it('are the model’s, and the likeliest token where it asks for no sampling', () => {
    const file = { do_sample: true, top_k: 20, top_p: 0.8, min_p: 0.05, repetition_penalty: 1.1 };
    const own = { topK: 20, topP: 0.8, minP: 0.05, repetitionPenalty: 1.1 };
    assert.deepEqual(defaults(file).sampling, { temperature: 1, ...own });
    assert.deepEqual(defaults({ ...file, temperature: 0.6 }).sampling, { temperature: 0.6, ...own });
    assert.equal(defaults({ do_sample: false, temperature: 0.6 }).sampling.temperature, 0);
  });

  it('passes over fields that are no such setting', () => {
    const odd = {
      temperature: -1,
      top_k: 'x',
      top_p: 0,
      min_p: null,
      repetition_penalty: [],
      do_sample: 'yes',
    };
    assert.deepEqual(defaults(odd).sampling, POOL);
  });

  it('ends answers at the end tokens of all files, one or a list', () => {
    const stops = (...args: Parameters<typeof defaults>) => [...defaults(...args).stopTokens].sort();
    assert.deepEqual(stops({ eos_token_id: [5, 6] }, { eos_token_id: 7 }, 8), [5, 6, 7, 8]);
    assert.deepEqual(stops({ eos_token_id: 5 }, { eos_token_id: [5] }), [5]);
    assert.deepEqual(stops({ eos_token_id: 'x' }, { eos_token_id: null }), []);
  });
});

describe('samplingOf', () => {
  it('is what the question says, and else what the model says', () => {
    const model = defaults({ do_sample: true, temperature: 0.6, top_k: 20, top_p: 0.8 });
    const question = chatRequestSchema.parse({ prompt: 'x', temperature: 0, top_k: 0, min_p: 0.2 });
    const expected = { temperature: 0, topK: 0, topP: 0.8, minP: 0.2, repetitionPenalty: 1 };
    assert.deepEqual(samplingOf(question, model), expected);
  });
});
