import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import * as tf from '@tensorflow/tfjs';
import { type ChatRequest, chatRequestSchema } from '#shared/api/chat-schemas.ts';
import type { ModelRef } from '#shared/protocol/worker.ts';
import { ChatModels } from '#test/helpers/chat-model.ts';
import { CHAT_ENGINE_DEFAULTS, ChatEngine, type ChatEngineOptions } from '#worker/chat/chat-engine.ts';
import { startBackend } from '#worker/model/backend/start.ts';

const never = new AbortController().signal;

describe('ChatEngine', () => {
  const models = new ChatModels();
  const engines: ChatEngine[] = [];
  let model: ModelRef;
  let other: ModelRef;
  before(async () => {
    await startBackend('wasm');
    model = await models.ref(1);
    other = await models.ref(2);
  });
  after(() => Promise.all(engines.map((engine) => engine.close())));

  function start(options: Partial<ChatEngineOptions> = {}): ChatEngine {
    const now = () => performance.now();
    const engine = new ChatEngine({ ...CHAT_ENGINE_DEFAULTS, ...options }, { payloads: models, now });
    engines.push(engine);
    return engine;
  }

  function ask(engine: ChatEngine, question: Partial<ChatRequest>, more: Partial<Ask> = {}) {
    const { ref = model, signal = never, onText = () => {} } = more;
    const said = { text: '' };
    const request = { model: ref, bearer: '', question: chatRequestSchema.parse(question) };
    const emit = ({ text }: { text: string }) => {
      said.text += text;
      onText(text);
    };
    const done = engine.answer(request, { signal, emit });
    return { said, done: done.then(({ tokens, reason }) => ({ tokens, reason, text: said.text })) };
  }

  it('gives an answer the same text whatever else is answered with it', async () => {
    const questions = [
      { prompt: 'the white whale', seed: 1, max_tokens: 40 },
      { prompt: 'sea', seed: 2, max_tokens: 7, temperature: 1.4, top_k: 50 },
      { messages: [{ role: 'user', content: 'who swam?' }] as const, seed: 3, max_tokens: 20, top_p: 0.9 },
      { prompt: 'rolled on as it rolled', seed: 4, max_tokens: 30, temperature: 0 },
      { prompt: 'the', seed: 5, max_tokens: 25, min_p: 0.01, repetition_penalty: 1.3 },
    ].map((question) => chatRequestSchema.parse(question));
    const engine = start({ maxAnswers: 4, chunkTokens: 4 });
    const alone: unknown[] = [];
    for (const question of questions) alone.push(await ask(engine, question).done);
    const together = await Promise.all(questions.map((question) => ask(engine, question).done));
    assert.deepEqual(together, alone);
    assert.deepEqual(
      together.map(({ tokens, reason }) => [tokens, reason]),
      questions.map(({ max_tokens }) => [max_tokens, 'length']),
    );
    assert.notEqual((await ask(engine, { ...questions[0], seed: 9 }).done).text, together[0]?.text);
  });

  it('ends before a stop string, of which nothing is said, and at a stop token', async () => {
    const engine = start();
    const question = { prompt: 'the', temperature: 1, seed: 6, max_tokens: 30 };
    const free = await ask(engine, question).done;
    const stop = free.text.slice(9, 13);
    const cut = await ask(engine, { ...question, stop: ['never said', stop] }).done;
    assert.equal(cut.text, free.text.slice(0, free.text.indexOf(stop)));
    assert.equal(cut.reason, 'stop');
    assert.ok(cut.tokens < 30);
    const every = Array.from({ length: 300 }, (_, id) => id);
    const silent = await models.ref(1, { generation_config: JSON.stringify({ eos_token_id: every }) });
    const nothing = await ask(engine, { prompt: 'the' }, { ref: silent }).done;
    assert.deepEqual(nothing, { tokens: 0, reason: 'stop', text: '' });
  });

  it('never says an id that the tokenizer has not', async () => {
    const { tokenizer } = await models.manifest();
    const json = JSON.parse(tokenizer);
    const known = Object.entries(json.model.vocab as Record<string, number>).filter(([, id]) => id < 270);
    json.model.vocab = Object.fromEntries(known);
    json.model.merges = (json.model.merges as string[]).filter(
      (pair) => pair.replace(' ', '') in json.model.vocab,
    );
    const short = await models.ref(1, { tokenizer: JSON.stringify(json) });
    const question = { prompt: 'the', temperature: 5, seed: 1, max_tokens: 60 };
    assert.equal((await ask(start(), question, { ref: short }).done).tokens, 60);
  });

  it('takes from the model’s generation_config what the question leaves open', async () => {
    const engine = start();
    const greedy = await models.ref(1, { generation_config: '{"do_sample":false}' });
    const expected = await ask(engine, { prompt: 'the sea', temperature: 0 }).done;
    assert.deepEqual(await ask(engine, { prompt: 'the sea' }, { ref: greedy }).done, expected);
    const own = await ask(engine, { prompt: 'the sea', temperature: 1, seed: 1 }, { ref: greedy }).done;
    assert.notEqual(own.text, expected.text);
  });

  it('writes messages down by the chat template, without the oldest where the context is short', async () => {
    const engine = start();
    const turns = ['the white whale', 'swam and the sea', 'rolled'].map((content, i) => {
      return { role: i === 1 ? 'assistant' : 'user', content } as const;
    });
    const question = { temperature: 0, max_tokens: 5 };
    const asked = await ask(engine, { ...question, messages: turns }).done;
    const written = await ask(engine, { ...question, prompt: 'user: rolled\nassistant:' }).done;
    assert.deepEqual(asked, written);
  });

  it('answers a cancellation at once, says nothing after it, and frees what it used', async () => {
    const engine = start();
    await ask(engine, { prompt: 'the', max_tokens: 1 }).done;
    const freed = () => new Promise((resolve) => setTimeout(resolve, 50));
    await freed();
    const tensors = tf.memory().numTensors;
    const control = new AbortController();
    let after = '';
    const onText = (text: string) => {
      if (control.signal.aborted) after += text;
      setImmediate(() => control.abort());
    };
    const long = ask(engine, { prompt: 'the', max_tokens: 1_000 }, { signal: control.signal, onText });
    const made = await long.done;
    assert.equal(made.reason, 'cancelled');
    assert.ok(made.tokens < 1_000);
    await freed();
    assert.equal(after, '');
    assert.equal(tf.memory().numTensors, tensors);
  });

  it('swaps weights between answers: each answer is by the weights that it named', async () => {
    const engine = start();
    const question = { prompt: 'the white', temperature: 2, seed: 3, max_tokens: 40 };
    const one = (await ask(engine, question).done).text;
    const two = (await ask(engine, question, { ref: other }).done).text;
    assert.notEqual(one, two);
    const mixed = [model, other, model, model, other].map((ref) => ask(engine, question, { ref }).done);
    assert.deepEqual(
      (await Promise.all(mixed)).map(({ text }) => text),
      [one, two, one, one, two],
    );
  });

  it('lets new weights wait for older answers only so long', async () => {
    const engine = start({ swapPatienceMs: 50 });
    await ask(engine, { prompt: 'the', max_tokens: 1 }).done;
    const long = Array.from(
      { length: 8 },
      () => ask(engine, { prompt: 'the', temperature: 0, max_tokens: 1_024 }).done,
    );
    await engine.load({ model: other, bearer: '' }, never);
    for (const { reason, tokens, text } of await Promise.all(long)) {
      assert.equal(reason, 'length');
      assert.ok(tokens > 0 && tokens < 1_024, `${tokens} tokens`);
      assert.notEqual(text, '');
    }
  });

  it('a loading that is no longer wanted holds nobody up, nor does one that fails', async () => {
    const engine = start();
    let release = () => {};
    models.ahead = new Promise((resolve) => {
      release = resolve;
    });
    const control = new AbortController();
    const loading = engine.load({ model, bearer: '' }, control.signal);
    const waiting = ask(engine, { prompt: 'the' }, { signal: control.signal });
    control.abort(new Error('another head'));
    await assert.rejects(loading, /another head/);
    assert.deepEqual(await waiting.done, { tokens: 0, reason: 'cancelled', text: '' });
    release();
    models.ahead = Promise.resolve();
    const wrong = { ...other, root: 'ab'.repeat(32) };
    await assert.rejects(engine.load({ model: wrong, bearer: '' }, never), { code: 'BLOCK_ROOT' });
    assert.equal((await ask(engine, { prompt: 'the', max_tokens: 3 }).done).tokens, 3);
  });

  it('TOKENIZER, CHAT_TEMPLATE, BAD_REQUEST: refuses one question, and answers the next', async () => {
    const engine = start();
    const none = await models.ref(1, { tokenizer: '{}' });
    await assert.rejects(ask(engine, { prompt: 'the' }, { ref: none }).done, { code: 'TOKENIZER' });
    const refusing = await models.ref(1, { chat_template: "{{ raise_exception('no') }}" });
    const messages = [{ role: 'user', content: 'the' }] as const;
    const spoken = ask(engine, { messages: [...messages] }, { ref: refusing });
    await assert.rejects(spoken.done, { code: 'CHAT_TEMPLATE' });
    const empty = await models.ref(1, { chat_template: '{# nothing #}' });
    await assert.rejects(ask(engine, { messages: [...messages] }, { ref: empty }).done, {
      code: 'BAD_REQUEST',
    });
    assert.equal((await ask(engine, { prompt: 'the', max_tokens: 3 }, { ref: empty }).done).tokens, 3);
  });
});

interface Ask {
  readonly ref: ModelRef;
  readonly signal: AbortSignal;
  readonly onText: (text: string) => void;
}
