import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, before, describe, it } from 'node:test';
import { deflateRawSync } from 'node:zlib';
import type { WorkerDesk, WorkerLine } from '#coordinator/dispatch/worker-desk.ts';
import { newKeyPair } from '#coordinator/store/key-files.ts';
import { WebSocketEdge } from '#coordinator/ws/server.ts';
import { WorkerGateway } from '#coordinator/ws/worker-gateway.ts';
import { PoolError } from '#shared/errors/pool-error.ts';
import {
  type FromWorker,
  MAX_WORKER_MESSAGE_BYTES,
  WORKER_PROTOCOL_VERSION,
} from '#shared/protocol/worker.ts';
import { FakeWorker } from '#test/helpers/fake-worker.ts';
import { frame, RoughSocket } from '#test/helpers/rough-socket.ts';
import { until } from '#test/helpers/until.ts';

/** A pool that lets everybody in who is not banned, and keeps what it hears. */
class OpenDesk implements WorkerDesk {
  readonly heard: FromWorker[] = [];
  readonly lines: WorkerLine[] = [];
  readonly banned = new Set<string>();
  left = 0;

  async admit({ publicKey }: { publicKey: string }, line: WorkerLine) {
    if (this.banned.has(publicKey)) throw new PoolError('BANNED', 'banned');
    line.send({ type: 'welcome', session: 'bearer', heartbeatMs: 1_000, address: 'none', owner: 'none' });
    this.lines.push(line);
    let here = true;
    return {
      deliver: (message: FromWorker) => void this.heard.push(message),
      leave: () => {
        if (here) this.left += 1;
        here = false;
      },
    };
  }

  ban(publicKey: string): void {
    this.banned.add(publicKey);
  }
}

describe('the gateway', () => {
  let http: Server;
  let edge: WebSocketEdge;
  let desk: OpenDesk;
  let url: string;
  const rough: RoughSocket[] = [];
  const workers: FakeWorker[] = [];

  before(async () => {
    desk = new OpenDesk();
    http = createServer();
    const gateway = new WorkerGateway({
      desk,
      networkId: new Uint8Array(32),
      onFault: (message, error) => assert.fail(`${message}: ${error}`),
    });
    edge = new WebSocketEdge(http, [gateway], ({ socket }) => socket.remoteAddress ?? '');
    http.listen(0, '127.0.0.1');
    await once(http, 'listening');
    url = `http://127.0.0.1:${(http.address() as AddressInfo).port}`;
  });
  after(async () => {
    for (const socket of rough) socket.end();
    for (const worker of workers) await worker.close();
    await edge.close();
    http.close();
  });
  const open = async (from?: string) => {
    const socket = await RoughSocket.open(`${url}/ws/worker`, from);
    rough.push(socket);
    return socket;
  };
  const attach = async (key = newKeyPair()) => {
    const worker = await FakeWorker.attach({ url, key, token: '', roles: ['chat'] });
    workers.push(worker);
    return worker;
  };

  it('1009 for an oversized frame, and for one that only claims to be', async () => {
    const large = await open();
    large.write(frame(Buffer.alloc(MAX_WORKER_MESSAGE_BYTES + 1, 0x20)));
    assert.equal(await large.closeCode(), 1009);
    const claim = await open();
    claim.write(frame(Buffer.alloc(MAX_WORKER_MESSAGE_BYTES + 1)).subarray(0, 14));
    assert.equal(await claim.closeCode(), 1009);
  });

  it('1002 for a compressed frame: nothing is inflated', async () => {
    const bomb = await open();
    bomb.write(frame(deflateRawSync(Buffer.alloc(100_000_000)).subarray(0, 60_000), { compressed: true }));
    assert.equal(await bomb.closeCode(), 1002);
  });

  it('1007 for invalid UTF-8, 1003 for binary, MESSAGE for text that is no message', async () => {
    const broken = await open();
    broken.write(frame(Uint8Array.of(0xc3, 0x28)));
    assert.equal(await broken.closeCode(), 1007);
    const binary = await open();
    binary.write(frame(Uint8Array.of(1), { opcode: 'binary' }));
    assert.equal(await binary.closeCode(), 1003);
    for (const text of [
      '',
      '[]',
      '{"type":"steal"}',
      '{"__proto__":{"type":"hello"}}',
      '['.repeat(100_000),
    ]) {
      const socket = await open();
      socket.write(frame(Buffer.from(text)));
      assert.equal(await socket.closeCode(), 4401, text.slice(0, 40));
    }
  });

  it('ends a message of a million one-byte fragments long before its end', async () => {
    const socket = await open();
    const piece = (i: number) =>
      frame(Uint8Array.of(0x20), { opcode: i === 0 ? 'text' : 'continuation', fin: false });
    let sent = 0;
    while (sent < 1_000_000 && !socket.isClosed) {
      socket.write(Buffer.concat(Array.from({ length: 500 }, (_, i) => piece(sent + i))));
      sent += 500;
      await new Promise((resolve) => setImmediate(resolve));
    }
    assert.equal(await socket.closeCode(), 1008);
    assert.ok(sent < 100_000, `${sent} fragments`);
  });

  it('PROTOCOL_VERSION for another version, UNAUTHORISED for a proof by another key', async () => {
    const hello = {
      type: 'hello',
      ...{ publicKey: Buffer.from(newKeyPair().publicKey).toString('hex'), name: 'x', software: 'x' },
      ...{ roles: ['chat'], backend: 'x', threads: 1 },
    };
    const old = await open();
    old.write(frame(Buffer.from(JSON.stringify({ ...hello, protocol: 1 }))));
    assert.equal(await old.closeCode(), 4401);
    const thief = await open();
    thief.write(frame(Buffer.from(JSON.stringify({ ...hello, protocol: WORKER_PROTOCOL_VERSION }))));
    thief.write(frame(Buffer.from(JSON.stringify({ type: 'proof', signature: '11'.repeat(64) }))));
    assert.equal(await thief.closeCode(), 4401);
  });

  it('BANNED for a worker that sends ten thousand heartbeats', async () => {
    const key = newKeyPair();
    const worker = await attach(key);
    const before = desk.heard.length;
    for (let i = 0; i < 10_000; i++)
      worker.send({ type: 'heartbeat', hashesPerSecond: 0, tokensPerSecond: 0, rssBytes: 0 });
    await worker.until(() => worker.closed !== undefined);
    assert.equal(worker.closed?.code, 4403);
    assert.ok(desk.heard.length - before < 1_000);
    assert.equal(await (await attach(key)).refusal(), 'BANNED');
  });

  it('cuts off a worker that stops reading, with bounded memory', async () => {
    const worker = await attach();
    const line = desk.lines.at(-1) as WorkerLine;
    worker.stopReading();
    const gone = desk.left;
    const text = 'x'.repeat(100_000);
    let sent = 0;
    while (desk.left === gone && sent < 2_000) {
      line.send({ type: 'error', error: { code: 'MESSAGE', message: text, details: {} } });
      sent += 1;
      if (sent % 10 === 0) await new Promise((resolve) => setImmediate(resolve));
    }
    await until('the line is cut', () => desk.left > gone);
    assert.ok(sent < 1_000, `${sent} messages of 100 kB`);
  });

  it('takes a worker for lost that says nothing for four seconds', async () => {
    const worker = await attach();
    const gone = desk.left;
    worker.fallSilent();
    await worker.until(() => worker.closed !== undefined);
    await until('it has left', () => desk.left === gone + 1);
  });

  it('serves others while one address holds a thousand idle connections, which end by themselves', async () => {
    const idle = await Promise.all(Array.from({ length: 1_000 }, () => open('127.0.0.9')));
    assert.equal(idle.filter(({ status }) => status === 101).length, 500);
    assert.equal(idle.filter(({ status }) => status === 429).length, 500);
    const worker = await attach();
    assert.equal(worker.closed, undefined);
    assert.equal(await (idle.find(({ status }) => status === 101) as RoughSocket).closeCode(), 4408);
    await Promise.all(idle.map(({ closed }) => closed));
    assert.equal((await open('127.0.0.9')).status, 101);
  });

  it('tells when a worker has received what was sent', async () => {
    const worker = await attach();
    const line = desk.lines.at(-1) as WorkerLine;
    const error = { code: 'MESSAGE', message: 'before', details: {} } as const;
    line.send({ type: 'error', error });
    let seen = 0;
    line.roundTrip(() => {
      seen = worker.received.filter(({ type }) => type === 'error').length;
    });
    await until('the pong', () => seen > 0);
    assert.equal(seen, 1);
  });
});
