import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type ChatRequest, chatRequestSchema } from '#shared/api/chat-schemas.ts';
import { PoolError } from '#shared/errors/pool-error.ts';
import type { FromWorker, ModelRef } from '#shared/protocol/worker.ts';
import { keptLog } from '#test/helpers/quiet-log.ts';
import { ChatRole } from '#worker/chat/role.ts';
import type { Request } from '#worker/process/host.ts';

const model = (letter: string): ModelRef => {
  const hash = letter.repeat(64);
  return { meta: hash, metaPayload: hash, root: hash, tensors: [] };
};
const session = { bearer: 'token', address: '0x', network: 'aa' } as never;

interface Asked extends Request {
  readonly request: { kind: string; model: ModelRef; bearer: string; question?: ChatRequest };
  resolve(result: unknown): void;
  reject(error: unknown): void;
}

function setUp({ connected = true, head = true } = {}) {
  const asked: Asked[] = [];
  const sent: FromWorker[] = [];
  const { log, lines } = keptLog();
  let computing = 0;
  const role = new ChatRole({
    host: {
      request: (request) =>
        new Promise((resolve, reject) => {
          asked.push({ ...request, resolve, reject } as Asked);
        }),
      close: async () => {},
    },
    send: (message) => sent.push(message) > 0,
    log,
    during: async (compute) => {
      computing += 1;
      return await compute().finally(() => {
        computing -= 1;
      });
    },
  });
  if (connected) role.connected(session);
  if (head) role.message({ type: 'head', height: 1, model: model('a') });
  const ask = (chat: string, question: object = { prompt: 'x' }) =>
    role.message({ type: 'chat', chat, request: chatRequestSchema.parse(question) });
  return { role, asked, sent, lines, ask, computing: () => computing };
}

const settled = () => new Promise((resolve) => setImmediate(resolve));
const codeOf = (message: FromWorker | undefined) =>
  message?.type === 'chat-failed' ? message.error.code : null;

describe('ChatRole', () => {
  it('loads the head ahead of the first question, and a newer head instead of it', async () => {
    const { role, asked, lines } = setUp();
    assert.equal(asked[0]?.request.kind, 'load');
    role.message({ type: 'head', height: 2, model: model('b') });
    assert.equal(asked[0]?.signal.aborted, true);
    asked[0]?.reject(new Error('aborted'));
    assert.equal(asked[1]?.request.model.root, 'b'.repeat(64));
    asked[1]?.reject(new PoolError('UNAVAILABLE', 'no such payload'));
    await settled();
    assert.equal(lines.filter((line) => line.includes('could not be loaded')).length, 1);
  });

  it('answers several questions at once, each under its name, with hashing held back', async () => {
    const { asked, sent, ask, computing } = setUp();
    const messages = [{ role: 'user', content: 'hi' }];
    ask('one', { messages, top_p: 0.5, stop: ['x'] });
    ask('two');
    assert.equal(computing(), 2);
    const [, one, two] = asked as [Asked, Asked, Asked];
    assert.deepEqual(one.request.question, { messages, max_tokens: 64, top_p: 0.5, stop: ['x'] });
    assert.deepEqual([one.request.kind, one.request.bearer], ['answer', 'token']);
    two.onEvent?.({ text: 'b', tokens: 2 });
    one.onEvent?.({ text: 'a', tokens: 1 });
    two.resolve({ tokens: 1, reason: 'stop' });
    await settled();
    one.reject(new PoolError('CHAT_TEMPLATE', 'roles must alternate'));
    await settled();
    assert.deepEqual(sent.slice(0, 3), [
      { type: 'chat-token', chat: 'two', text: 'b', tokens: 2 },
      { type: 'chat-token', chat: 'one', text: 'a', tokens: 1 },
      { type: 'chat-done', chat: 'two', tokens: 1, reason: 'stop' },
    ]);
    assert.equal(codeOf(sent[3]), 'CHAT_TEMPLATE');
    assert.equal(computing(), 0);
  });

  it('cancels what it is told to, and says no more of it', async () => {
    const { role, asked, sent, ask } = setUp();
    ask('one');
    ask('two');
    role.message({ type: 'chat-cancel', chat: 'one' });
    role.message({ type: 'chat-cancel', chat: 'unknown' });
    const [, one, two] = asked as [Asked, Asked, Asked];
    assert.deepEqual([one.signal.aborted, two.signal.aborted], [true, false]);
    one.onEvent?.({ text: 'late' });
    assert.deepEqual(sent, []);
  });

  it('drops everything when the line breaks: nothing of it reaches the next session', async () => {
    const { role, asked, sent, ask } = setUp();
    ask('one');
    role.disconnected();
    assert.ok(asked.every(({ signal }) => signal.aborted));
    role.connected({ ...(session as object), bearer: 'next' } as never);
    asked[1]?.onEvent?.({ text: 'late' });
    asked[1]?.resolve({ tokens: 0, reason: 'cancelled' });
    await settled();
    assert.deepEqual(sent, []);
  });

  it('ends an answer that takes longer than five minutes, alone', async (t) => {
    t.mock.timers.enable({ apis: ['setTimeout'] });
    const { asked, ask } = setUp();
    ask('one');
    t.mock.timers.tick(200_000);
    ask('two');
    t.mock.timers.tick(100_001);
    assert.deepEqual([asked[1]?.signal.aborted, asked[2]?.signal.aborted], [true, false]);
    assert.ok((asked[1]?.deadlineMs ?? 0) > 300_000);
  });

  it('UNAVAILABLE before the first head, TOO_MANY_REQUESTS where too many wait, INTERNAL without its text', async () => {
    const early = setUp({ head: false });
    early.ask('one');
    await settled();
    assert.equal(codeOf(early.sent[0]), 'UNAVAILABLE');
    const { asked, sent, ask } = setUp();
    for (let i = 0; i < 17; i++) ask(`chat-${i}`);
    await settled();
    assert.deepEqual(sent.map(codeOf), ['TOO_MANY_REQUESTS']);
    asked[1]?.reject(new Error('a path of ours'));
    await settled();
    assert.equal(codeOf(sent[1]), 'INTERNAL');
    assert.ok(!JSON.stringify(sent[1]).includes('path'));
    const nobody = setUp({ connected: false });
    nobody.ask('one');
    await settled();
    assert.deepEqual(nobody.sent, []);
  });
});
