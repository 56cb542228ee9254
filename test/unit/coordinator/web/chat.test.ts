import assert from 'node:assert/strict';
import { test } from 'node:test';
import { streamChat } from '#coordinator/web/app/net/chat-stream.ts';
import {
  DEFAULT_SETTINGS,
  failed,
  finished,
  footnoteOf,
  requestOf,
  startTurn,
  stopped,
  withToken,
} from '#coordinator/web/app/state/chat-turns.ts';
import { chatRequestSchema } from '#shared/api/chat-schemas.ts';
import { ManualSockets } from './stand-ins.ts';
import { hash } from './views.ts';

const done = { type: 'done', tokens: 2, finish_reason: 'length', model_root: hash('1'), height: 27 } as const;

function opened() {
  const sockets = new ManualSockets();
  const log: string[] = [];
  const stop = streamChat(
    requestOf([], 'The sea', DEFAULT_SETTINGS),
    {
      onToken: (text) => log.push(text),
      onDone: ({ tokens }) => log.push(`done ${tokens}`),
      onError: (code, message) => log.push(`${code}: ${message}`),
    },
    sockets.open,
  );
  const { handlers } = sockets.last;
  handlers.onOpen();
  return { socket: sockets.last, log, stop, say: (event: object) => handlers.onText(JSON.stringify(event)) };
}

test('an answer is its tokens, then its end, and the socket is closed', () => {
  const { socket, log, say } = opened();
  assert.equal(socket.path, 'ws/chat');
  assert.deepEqual(JSON.parse(socket.sent[0] ?? ''), {
    messages: [{ role: 'user', content: 'The sea' }],
    max_tokens: 64,
    temperature: 0.8,
  });
  say({ type: 'token', text: ' was' });
  say({ type: 'token', text: ' calm' });
  say(done);
  assert.deepEqual(log, [' was', ' calm', 'done 2']);
  assert.equal(socket.closed, true);
});

test('an error is reported by code and message, once', () => {
  const { socket, log, say } = opened();
  say({ type: 'error', error: { code: 'NO_WORKER', message: 'no worker is attached', details: {} } });
  say({ type: 'token', text: 'late' });
  socket.handlers.onClose();
  assert.deepEqual(log, ['NO_WORKER: no worker is attached']);
});

test('a socket that ends before the answer is an error of its own', () => {
  const { socket, log } = opened();
  socket.handlers.onClose();
  assert.deepEqual(log, ['CONNECTION: The connection ended before the answer did. Try again.']);
});

test('stop closes the socket, and nothing is reported after it', () => {
  const { socket, log, stop, say } = opened();
  say({ type: 'token', text: ' was' });
  stop();
  say({ type: 'token', text: ' late' });
  assert.equal(socket.closed, true);
  assert.deepEqual(log, [' was']);
});

test('whatever is typed into the settings, the request is one the API takes', () => {
  for (const maxTokens of [-5, 0, 1.5, 64, 5_000, Number.NaN])
    for (const temperature of [-1, 0, 0.8, 9, Number.POSITIVE_INFINITY])
      for (const seed of [null, -1, 7.4, 2 ** 40, Number.NaN]) {
        const request = requestOf([], 'x', { maxTokens, temperature, seed });
        assert.deepEqual(chatRequestSchema.parse(request), request);
      }
});

test('a turn keeps its text and says how it ended', () => {
  const begun = withToken(withToken(startTurn('The sea', 1_000), ' was', 1_200), ' calm', 1_400);
  assert.equal(begun.text, ' was calm');
  assert.equal(begun.firstTokenAtMs, 1_200);
  assert.equal(
    footnoteOf(finished(begun, done, 2_000)),
    '2 tokens in 1.0 s, 2.0 tokens/s; weights of block B 27',
  );
  assert.equal(footnoteOf(stopped(begun)), 'Stopped.');
  assert.equal(footnoteOf(failed(begun, 'TIMEOUT', 'late')), 'The answer is not whole.');
  assert.equal(footnoteOf(failed(startTurn('x', 0), 'NO_WORKER', 'none')), 'No answer.');
});

test('a question is sent with the newest turns that have an answer, as many as fit', () => {
  const turn = (prompt: string, text: string) => withToken(startTurn(prompt, 0), text, 1);
  const before = [
    turn('one', ' two'),
    failed(startTurn('lost', 0), 'NO_WORKER', 'none'),
    turn('three', ' four'),
  ];
  const contents = (turns: typeof before, prompt: string) =>
    requestOf(turns, prompt, DEFAULT_SETTINGS).messages?.map(({ content }) => content);
  assert.deepEqual(contents(before, 'five'), ['one', ' two', 'three', ' four', 'five']);
  const long = turn('x'.repeat(19_999), '');
  assert.deepEqual(contents([...before, withToken(long, 'y', 2)], 'five'), ['five']);
  assert.equal(
    contents(
      Array.from({ length: 90 }, () => turn('a', 'b')),
      'last',
    )?.length,
    101,
  );
  const request = requestOf(before, 'z'.repeat(20_000), DEFAULT_SETTINGS);
  assert.deepEqual(chatRequestSchema.parse(request), request);
});
