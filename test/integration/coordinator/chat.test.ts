import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { WebSocket } from 'ws';
import { type ChatEvent, chatEventSchema, chatResponseSchema } from '#shared/api/chat-schemas.ts';
import type { ChatTask, FakeWorker } from '#test/helpers/fake-worker.ts';
import { TestCoordinator } from '#test/helpers/test-coordinator.ts';
import { skipWithout } from '#test/helpers/tools.ts';

describe('chat', { skip: skipWithout('redis-server') }, () => {
  let pool: TestCoordinator;
  before(async () => {
    pool = await TestCoordinator.start();
  });
  after(() => pool.destroy());
  const chatter = (onChat: (worker: FakeWorker, task: ChatTask) => void) =>
    pool.attach({ roles: ['chat'], onChat });
  const ask = (body: object, signal?: AbortSignal) =>
    fetch(new URL('/chat', pool.url), {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
      ...(signal ? { signal } : {}),
    });
  const says = (worker: FakeWorker, { chat }: ChatTask, words: readonly string[]) => {
    for (const text of words) worker.send({ type: 'chat-token', chat, text });
    worker.send({ type: 'chat-done', chat, tokens: words.length, reason: 'stop' });
  };

  it('answers over HTTP at once and over the WebSocket token by token', async () => {
    const worker = await chatter((self, task) => says(self, task, ['call', ' me']));
    const answer = chatResponseSchema.parse(await (await ask({ prompt: 'who?' })).json());
    assert.equal(answer.text, 'call me');
    assert.equal(answer.model_root, (await pool.model()).root);
    const socket = new WebSocket(new URL('/ws/chat', pool.url.replace('http', 'ws')));
    const events: ChatEvent[] = [];
    socket.on('open', () => socket.send(JSON.stringify({ prompt: 'who?', seed: 1 })));
    await new Promise<void>((resolve) =>
      socket.on('message', (data) => {
        const event = chatEventSchema.parse(JSON.parse(String(data)));
        events.push(event);
        if (event.type !== 'token') resolve();
      }),
    );
    socket.close();
    assert.deepEqual(
      events.map(({ type }) => type),
      ['token', 'token', 'done'],
    );
    await worker.close();
  });

  it('stops the worker when the client is gone', async () => {
    const worker = await chatter((self, { chat }) => self.send({ type: 'chat-token', chat, text: 'a' }));
    const gone = new AbortController();
    const answer = ask({ prompt: 'long' }, gone.signal).catch(() => 'gone');
    await worker.next('chat');
    gone.abort();
    assert.equal(await answer, 'gone');
    await worker.next('chat-cancel');
    await worker.close();
  });

  it('asks another worker where the first is lost before its first token', async () => {
    const lost = await chatter((self) => self.drop());
    const answer = ask({ prompt: 'again' });
    await lost.next('chat').catch(() => undefined);
    const first = await answer;
    assert.equal(first.status, 503, 'nobody else is there');
    const names: string[] = [];
    const handlers = [
      (self: FakeWorker) => self.drop(),
      (self: FakeWorker, task: ChatTask) => says(self, task, ['ok']),
    ];
    const take = (self: FakeWorker, task: ChatTask) => {
      names.push(self.options.name ?? '');
      handlers[names.length - 1]?.(self, task);
    };
    const two = await Promise.all(
      ['one', 'two'].map((name) => pool.attach({ roles: ['chat'], name, onChat: take })),
    );
    const { text } = chatResponseSchema.parse(await (await ask({ prompt: 'again' })).json());
    assert.equal(text, 'ok');
    assert.deepEqual(names, ['one', 'two']);
    await two[1]?.close();
  });

  it('gives the error of a worker that fails or talks too long in the middle of an answer', async () => {
    const failing = await chatter((self, { chat }) => {
      self.send({ type: 'chat-token', chat, text: 'half' });
      self.send({ type: 'chat-failed', chat, error: { code: 'BACKEND', message: 'gone', details: {} } });
    });
    const failed = (await (await ask({ prompt: 'x' })).json()) as { error: { code: string } };
    assert.equal(failed.error.code, 'BACKEND');
    await failing.close();
    const endless = await chatter((self, { chat }) => {
      // One piece more than tokens may come: what was held back to the end.
      for (let i = 0; i < 6; i++) self.send({ type: 'chat-token', chat, text: 'a' });
    });
    assert.equal((await ask({ prompt: 'x', max_tokens: 4 })).status, 500);
    assert.equal(await endless.refusal(), 'MESSAGE');
    await endless.next('chat-cancel');
  });
});
