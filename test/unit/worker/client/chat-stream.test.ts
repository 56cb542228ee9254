import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, before, describe, it } from 'node:test';
import { WebSocketEdge } from '#coordinator/ws/server.ts';
import { type ChatEvent, chatRequestSchema } from '#shared/api/chat-schemas.ts';
import { ChatServer } from '#test/helpers/chat-server.ts';
import { freePort } from '#test/helpers/free-port.ts';
import { until } from '#test/helpers/until.ts';
import { streamChat } from '#worker/client/chat-stream.ts';

const QUESTION = chatRequestSchema.parse({ prompt: 'who?', seed: 1 });
const never = new AbortController().signal;

describe('streamChat', () => {
  let server: ChatServer;
  before(async () => {
    server = await ChatServer.start();
  });
  after(() => server.close());

  async function collect(url = server.url, signal = never): Promise<ChatEvent[]> {
    const events: ChatEvent[] = [];
    for await (const event of streamChat(url, QUESTION, signal)) events.push(event);
    return events;
  }

  it('sends the question and yields the answer up to its end', async () => {
    server.says('Call', ' me');
    const events = await collect();
    assert.deepEqual(server.questions.at(-1), QUESTION);
    assert.deepEqual(
      events.map((event) => (event.type === 'token' ? event.text : event.type)),
      ['Call', ' me', 'done'],
    );
    await until('the line is closed', () => server.closed === 1);
  });

  it('rejects with the pool’s error, and with MESSAGE for what is no event', async () => {
    server.answer = (say) => {
      say({ type: 'token', text: 'half' });
      say({ type: 'error', error: { code: 'NO_WORKER', message: 'none', details: {} } });
    };
    await assert.rejects(collect(), { code: 'NO_WORKER' });
    server.answer = (say) => say('{"type":"token","text":1}');
    await assert.rejects(collect(), { code: 'MESSAGE' });
  });

  it('UNAVAILABLE: a line that ends before the answer, or a coordinator that is not there', async () => {
    server.answer = (_say, line) => line.close();
    await assert.rejects(collect(), { code: 'UNAVAILABLE', message: /before its answer/ });
    server.answer = (_say, line) => line.terminate();
    await assert.rejects(collect(), { code: 'UNAVAILABLE' });
    const nowhere = `http://127.0.0.1:${await freePort()}`;
    await assert.rejects(collect(nowhere), { code: 'UNAVAILABLE', message: /ECONNREFUSED/ });
  });

  it('NOT_FOUND: an address that answers and serves no chats, such as a further gateway', async () => {
    const gateway = createServer();
    const edge = new WebSocketEdge(gateway, [], () => '127.0.0.1');
    gateway.listen(0, '127.0.0.1');
    await once(gateway, 'listening');
    const { port } = gateway.address() as AddressInfo;
    try {
      await assert.rejects(collect(`http://127.0.0.1:${port}`), {
        code: 'NOT_FOUND',
        message: /does not serve chats.*ask the coordinator/,
      });
    } finally {
      await edge.close();
      gateway.close();
    }
  });

  it('ends the line when its reader leaves, or the signal says so', async () => {
    const closed = server.closed;
    server.answer = (say) => say({ type: 'token', text: 'a' });
    for await (const _ of streamChat(server.url, QUESTION, never)) break;
    await until('the line is closed', () => server.closed === closed + 1);
    const control = new AbortController();
    server.answer = () => control.abort(new Error('enough'));
    await assert.rejects(collect(server.url, control.signal));
    await until('the line is closed', () => server.closed === closed + 2);
  });
});
