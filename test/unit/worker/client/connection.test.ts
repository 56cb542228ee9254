import assert from 'node:assert/strict';
import { afterEach, beforeEach, it } from 'node:test';
import { keyPair } from '#shared/crypto/keys.ts';
import { PoolError } from '#shared/errors/pool-error.ts';
import { WORKER_PROTOCOL_VERSION } from '#shared/protocol/worker.ts';
import { keptLog } from '#test/helpers/quiet-log.ts';
import { TestGateway } from '#test/helpers/test-gateway.ts';
import { until } from '#test/helpers/until.ts';
import { type Session, type Work, WorkerConnection } from '#worker/client/connection.ts';

const key = keyPair(new Uint8Array(32).fill(7));
const worker = {
  name: 'attic',
  software: 'aiblock-pool/test',
  roles: ['evaluate', 'mine'],
  backend: 'wasm',
  threads: 2,
} as const;
const load = { hashesPerSecond: 5, tokensPerSecond: 6, rssBytes: 7 };

let unfinished = 0;
let gateway: TestGateway;
let stop: AbortController;
let heard: (Session | Work | 'gone')[];

beforeEach(async () => {
  gateway = await TestGateway.start();
  stop = new AbortController();
  heard = [];
  unfinished = 0;
});
afterEach(async () => {
  stop.abort();
  await gateway.close();
});

function connect(coordinator: string | string[] = gateway.url): {
  connection: WorkerConnection;
  ended: Promise<void>;
} {
  const events = heard; // a line of the test before must not write into this one's
  const connection = new WorkerConnection(
    { coordinators: [coordinator].flat(), worker, backoff: { firstMs: 5, mostMs: 20 }, drainMs: 10_000 },
    {
      key,
      log: keptLog().log,
      random: () => 0.5,
      token: async () => 'a-token',
      load: () => load,
      handlers: {
        get unfinished() {
          return unfinished;
        },
        connected: (session) => events.push(session),
        message: (message) => events.push(message),
        disconnected: () => events.push('gone'),
      },
    },
  );
  return { connection, ended: connection.run(stop.signal) };
}

it('answers the challenge with hello and a proof, then beats', async () => {
  connect();
  const hello = await gateway.next('hello');
  assert.deepEqual(
    { ...hello, publicKey: undefined },
    {
      type: 'hello',
      protocol: WORKER_PROTOCOL_VERSION,
      publicKey: undefined,
      token: 'a-token',
      ...worker,
      roles: [...worker.roles],
    },
  );
  assert.deepEqual(await gateway.next('heartbeat'), { type: 'heartbeat', ...load });
  const [session] = heard as [Session];
  assert.equal(session.bearer, 'session-1');
  assert.equal(session.address, key.address);
  assert.deepEqual(Buffer.from(session.networkId), gateway.network);
  assert.deepEqual(gateway.faults, []);
});

it('begins a new session where it is welcomed again on the same line', async () => {
  connect();
  await gateway.next('heartbeat');
  gateway.send({
    type: 'welcome',
    ...{ session: 'another', heartbeatMs: 50, address: key.address, owner: key.address },
  });
  gateway.send({ type: 'cancel', id: 'work-1' });
  await until('it is heard', () => heard.length >= 4);
  const [first, gone, second, cancel] = heard as [Session, string, Session, Work];
  assert.deepEqual([first.bearer, gone, second.bearer], ['session-1', 'gone', 'another']);
  assert.deepEqual(cancel, { type: 'cancel', id: 'work-1' });
  assert.equal(gateway.lines, 1);
});

it('passes on the messages of a session and sends into it', async () => {
  const { connection } = connect();
  assert.equal(connection.send({ type: 'ready', role: 'mine' }), false);
  await gateway.next('heartbeat');
  gateway.send({ type: 'cancel', id: 'work-1' });
  gateway.send({ type: 'chat-cancel', chat: 'c' });
  assert.equal(connection.send({ type: 'ready', role: 'mine' }), true);
  await gateway.next('ready');
  await gateway.until(() => heard.length >= 3);
  assert.deepEqual(heard.slice(1), [
    { type: 'cancel', id: 'work-1' },
    { type: 'chat-cancel', chat: 'c' },
  ]);
});

it('connects again after the line broke, in a new session', async () => {
  connect();
  await gateway.next('heartbeat');
  gateway.drop();
  await gateway.until(() => gateway.lines === 2 && heard.length >= 3);
  assert.equal(heard[1], 'gone');
  assert.equal((heard[2] as Session).bearer, 'session-2');
});

it('waits for a coordinator that is not there yet', async () => {
  const { port } = gateway;
  await gateway.close();
  connect(`http://127.0.0.1:${port}`);
  await new Promise((resolve) => setTimeout(resolve, 30));
  gateway = await TestGateway.start(port);
  await gateway.next('heartbeat');
});

it('says goodbye and resolves when it is stopped', async () => {
  const { ended, connection } = connect();
  await gateway.next('heartbeat');
  stop.abort();
  await gateway.next('goodbye');
  await ended;
  assert.equal(heard.at(-1), 'gone');
  assert.equal(gateway.lines, 1);
  assert.equal(connection.send({ type: 'ready', role: 'mine' }), false);
});

it('UNAUTHORISED ends it for good', async () => {
  const error = { code: 'UNAUTHORISED', message: 'this worker key is not enrolled', details: {} };
  gateway.refusal = { type: 'error', error };
  await assert.rejects(connect().ended, (e) => e instanceof PoolError && e.code === 'UNAUTHORISED');
  assert.equal(gateway.lines, 1);
});

it('PROTOCOL_VERSION ends it for good', async () => {
  gateway.protocol = WORKER_PROTOCOL_VERSION + 1;
  await assert.rejects(connect().ended, (e) => e instanceof PoolError && e.code === 'PROTOCOL_VERSION');
  assert.equal(gateway.count('hello'), 0);
});

it('UNAVAILABLE, and tries again, where the coordinator is full for now', async () => {
  const error = { code: 'TOO_MANY_REQUESTS', message: 'wait', details: {} };
  gateway.refusal = { type: 'error', error };
  connect();
  await gateway.until(() => gateway.lines === 2);
  gateway.refusal = undefined;
  await gateway.next('heartbeat');
});

it('STATE ends it for good where another worker has the same key', async () => {
  const { ended } = connect();
  await gateway.next('heartbeat');
  gateway.drop(4409);
  await assert.rejects(ended, (e) => e instanceof PoolError && e.code === 'STATE');
});

it('finishes what it holds before it says goodbye', async () => {
  const { ended, connection } = connect();
  await gateway.next('heartbeat');
  unfinished = 1;
  stop.abort();
  await gateway.next('drain');
  assert.equal(gateway.count('goodbye'), 0);
  assert.equal(connection.send({ type: 'ready', role: 'mine' }), true, 'the session goes on meanwhile');
  unfinished = 0;
  await gateway.next('goodbye');
  await ended;
});

it('goes to the next coordinator where one does not answer, and stays with the one that does', async () => {
  const spare = await TestGateway.start();
  connect([gateway.url, spare.url]);
  await gateway.next('heartbeat');
  gateway.drop();
  await gateway.until(() => gateway.lines === 2);
  await gateway.close();
  await spare.next('heartbeat');
  spare.drop();
  await spare.until(() => spare.lines === 2);
  stop.abort();
  await spare.close();
  gateway = await TestGateway.start();
});
