import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { after, describe, it } from 'node:test';
import { type ConnectionLimits, httpServer, listen } from '#coordinator/http/listen.ts';
import { until } from '#test/helpers/until.ts';

const PATIENT = { headMs: 60_000, idleMs: 60_000, checkMs: 50, perAddress: 1_000 };
const HASTY = { ...PATIENT, headMs: 400, idleMs: 300 };

const closers: (() => Promise<void>)[] = [];
const sockets: Socket[] = [];
after(async () => {
  for (const socket of sockets) socket.destroy();
  await Promise.all(closers.map((close) => close()));
});

async function serve(limits: ConnectionLimits) {
  const http = httpServer((_, response) => response.end('served'), limits);
  const { url, close } = await listen(http, { host: '127.0.0.1', port: 0 });
  closers.push(close);
  /** A connection from this address of the machine, and what came on it. */
  const open = async (from: string) => {
    const socket = connect({ host: '127.0.0.1', port: Number(new URL(url).port), localAddress: from });
    sockets.push(socket);
    let text = '';
    socket.on('data', (data) => {
      text += String(data);
    });
    socket.on('error', () => undefined);
    const closed = once(socket, 'close');
    await once(socket, 'connect');
    return { socket, closed, text: () => text, ask: () => socket.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n') };
  };
  const many = (count: number, from: string) => Promise.all(Array.from({ length: count }, () => open(from)));
  const served = async () => assert.equal(await (await fetch(url)).text(), 'served');
  return { open, many, served };
}

describe('an HTTP server whose clients do not ask', () => {
  it('serves others meanwhile, and a thousand heads that never end are refused', async () => {
    const { many, served } = await serve(HASTY);
    const slow = await many(1_000, '127.0.0.2');
    for (const { socket } of slow) socket.write('GET / HTTP/1.1\r\nHost: a\r\nX-Slow: ');
    await served();
    await Promise.all(slow.map(({ closed }) => closed));
    for (const { text } of slow) assert.match(text(), /^(HTTP\/1\.1 408 |$)/);
  });

  it('ends a head that comes byte by byte, in the time that a head has', async () => {
    const { open } = await serve(HASTY);
    const { socket, closed, text } = await open('127.0.0.3');
    const startedMs = performance.now();
    const drip = setInterval(() => socket.writable && socket.write('x'), 20);
    socket.write('GET / HTTP/1.1\r\nX-Slow: ');
    await closed;
    clearInterval(drip);
    assert.ok(performance.now() - startedMs < 5_000);
    assert.match(text(), /^(HTTP\/1\.1 408 |$)/);
  });

  it('ends connections on which nothing was ever asked, or nothing more', async () => {
    const { open, many, served } = await serve(HASTY);
    const silent = await many(1_000, '127.0.0.4');
    const used = await open('127.0.0.5');
    used.ask();
    await until('it is answered', () => used.text().endsWith('served'));
    await served();
    await Promise.all([...silent, used].map(({ closed }) => closed));
  });

  it('answers 429 where one address holds too many, and others as before', async () => {
    const { open, many, served } = await serve(PATIENT);
    const held = await many(PATIENT.perAddress, '127.0.0.6');
    const more = await many(20, '127.0.0.6');
    await Promise.all(more.map(({ closed }) => closed));
    for (const { text } of more)
      assert.match(text(), /^HTTP\/1\.1 429 .*Retry-After: \d.*TOO_MANY_REQUESTS/s);
    await served();
    held[0]?.ask();
    await until('those that it holds are served', () => held[0]?.text().endsWith('served'));
    for (const { socket } of held) socket.destroy();
    await until('the address may come again', async () => {
      const again = await open('127.0.0.6');
      again.ask();
      await until('an answer', () => again.text() !== '');
      return again.text().endsWith('served');
    });
  });
});
