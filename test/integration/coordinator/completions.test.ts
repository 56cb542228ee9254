import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { ChatTask, FakeWorker } from '#test/helpers/fake-worker.ts';
import { TestCoordinator } from '#test/helpers/test-coordinator.ts';
import { skipWithout } from '#test/helpers/tools.ts';

const messages = [{ role: 'user', content: 'who?' }];

describe('/v1/chat/completions', { skip: skipWithout('redis-server') }, () => {
  let pool: TestCoordinator;
  before(async () => {
    pool = await TestCoordinator.start();
  });
  after(() => pool.destroy());
  const chatter = (onChat: (worker: FakeWorker, task: ChatTask) => void) =>
    pool.attach({ roles: ['chat'], onChat });
  const ask = (body: object, signal?: AbortSignal) =>
    fetch(new URL('/v1/chat/completions', pool.url), {
      method: 'POST',
      headers: { 'content-type': 'application/json', authorization: 'Bearer any' },
      body: JSON.stringify(body),
      ...(signal ? { signal } : {}),
    });
  const jsonOf = async (response: Response) => JSON.parse(await response.text());
  /** The objects of a stream, and its last word. */
  const eventsOf = async (response: Response) => {
    const lines = (await response.text()).split('\n\n').filter((line) => line !== '');
    const data = lines.map((line) => line.replace(/^data: /, ''));
    return data.map((text) => (text === '[DONE]' ? text : JSON.parse(text)));
  };

  it('answers in the form of OpenAI’s API, whole and as a stream', async () => {
    const asked: ChatTask[] = [];
    const worker = await chatter((self, task) => {
      asked.push(task);
      for (const text of ['call', ' me']) self.send({ type: 'chat-token', chat: task.chat, text });
      self.send({ type: 'chat-done', chat: task.chat, tokens: 2, reason: 'stop', promptTokens: 5 });
    });
    const answer = await jsonOf(await ask({ model: 'm', messages, max_tokens: 7, temperature: 0 }));
    assert.deepEqual(asked[0]?.request, { messages, max_tokens: 7, temperature: 0 });
    assert.match(answer.id, /^chatcmpl-/);
    assert.equal(answer.object, 'chat.completion');
    assert.deepEqual(answer.choices, [
      {
        index: 0,
        message: { role: 'assistant', content: 'call me' },
        finish_reason: 'stop',
        logprobs: null,
      },
    ]);
    assert.deepEqual(answer.usage, { prompt_tokens: 5, completion_tokens: 2, total_tokens: 7 });

    const response = await ask({ messages, stream: true, stream_options: { include_usage: true } });
    assert.equal(response.headers.get('content-type'), 'text/event-stream; charset=utf-8');
    const events = await eventsOf(response);
    assert.deepEqual(
      events.slice(0, 3).map(({ choices }) => [choices[0].delta, choices[0].finish_reason]),
      [
        [{ role: 'assistant', content: 'call' }, null],
        [{ content: ' me' }, null],
        [{}, 'stop'],
      ],
    );
    assert.equal(events[3].usage.total_tokens, 7);
    assert.equal(events[4], '[DONE]');
    assert.equal(new Set(events.slice(0, 4).map(({ id }) => id)).size, 1);
    const models = await jsonOf(await fetch(new URL('/v1/models', pool.url)));
    assert.equal(models.data[0].id, answer.model);
    await worker.close();
  });

  it('refuses with a status before the first piece, and with an event after it', async () => {
    const nobody = await ask({ messages, stream: true });
    assert.equal(nobody.status, 503);
    assert.equal((await jsonOf(nobody)).error.code, 'NO_WORKER');
    assert.equal((await ask({ messages, tools: [] })).status, 400);
    const failing = await chatter((self, { chat }) => {
      self.send({ type: 'chat-token', chat, text: 'half' });
      self.send({ type: 'chat-failed', chat, error: { code: 'BACKEND', message: 'gone', details: {} } });
    });
    const events = await eventsOf(await ask({ messages, stream: true }));
    assert.equal(events.at(-1).error.code, 'BACKEND');
    await failing.close();
  });

  it('stops the worker when the reader of a stream is gone', async () => {
    const worker = await chatter((self, { chat }) => self.send({ type: 'chat-token', chat, text: 'a' }));
    const gone = new AbortController();
    const response = await ask({ messages, stream: true }, gone.signal);
    await response.body?.getReader().read();
    gone.abort();
    await worker.next('chat-cancel');
    await worker.close();
  });
});
