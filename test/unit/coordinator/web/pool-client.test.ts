import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PoolClient } from '#coordinator/web/app/state/pool-client.ts';
import type { BlockView } from '#shared/api/schemas.ts';
import { ManualSockets, ManualTimers, settle } from './stand-ins.ts';
import { blockViews, epochView, hash, overviewView, sharesView, submissionView } from './views.ts';

/** A chain of submissions of 30 tensors each: more than one answer of twenty blocks can show. */
const PARTS = 30;
const chain = [0, 1, 2, 3].flatMap((n) => blockViews(n * PARTS, PARTS, hash(String(n))));

function coordinator(blocks: BlockView[], over: { overview?: () => unknown } = {}) {
  const asked: string[] = [];
  const get = async (path: string) => {
    asked.push(path);
    const { pathname, searchParams } = new URL(path, 'http://pool/');
    const limit = Number(searchParams.get('limit'));
    if (pathname === '/overview') return over.overview?.() ?? overviewView();
    if (pathname === '/submissions') return { submissions: [submissionView()] };
    if (pathname === '/epochs') return { epochs: [epochView()] };
    if (pathname === '/pool/shares') return sharesView();
    const from = searchParams.get('from');
    const end = from === null ? blocks.length : Number(from) + limit;
    return { blocks: blocks.slice(from === null ? -limit : Number(from), end) };
  };
  const timers = new ManualTimers();
  const sockets = new ManualSockets();
  const client = new PoolClient({ get, open: sockets.open, timers, random: () => 0 });
  client.start();
  return { asked, timers, sockets, client };
}

test('once the feed is live, everything is asked for, and blocks are walked back seal by seal', async () => {
  const { asked, sockets, client } = coordinator(chain);
  assert.equal(client.state.connection, 'connecting');
  assert.equal(sockets.last.path, 'ws/feed');
  sockets.last.handlers.onOpen();
  await settle();
  assert.equal(client.state.connection, 'live');
  assert.equal(client.state.submissions.length, 1);
  assert.equal(client.state.epochs.length, 1);
  assert.equal(client.state.shares?.windows.length, 2);
  assert.deepEqual(
    client.state.groups.map(({ first, last }) => [first, last]),
    [
      [90, 119],
      [60, 89],
      [30, 59],
      [0, 29],
    ],
  );
  assert.deepEqual(asked.slice(5), [
    'chain/B/blocks?from=89&limit=1',
    'chain/B/blocks?from=59&limit=1',
    'chain/B/blocks?from=29&limit=1',
  ]);
});

test('several heads at once are answered by one refresh', async () => {
  const { asked, sockets, timers } = coordinator(chain);
  sockets.last.handlers.onOpen();
  await settle();
  const before = asked.length;
  for (const height of [119, 120]) sockets.last.handlers.onText(JSON.stringify({ type: 'head', height }));
  timers.advance(1_000);
  await settle();
  assert.deepEqual(asked.slice(before), [
    ...['overview', 'submissions?limit=20', 'epochs?limit=20'],
    ...['pool/shares?limit=5', 'chain/B/blocks?limit=20'],
  ]);
});

test('a lost feed is shown with the time of the next attempt, and what was shown stays', async () => {
  const { sockets, client, timers } = coordinator(chain);
  sockets.last.handlers.onOpen();
  await settle();
  sockets.last.handlers.onClose();
  assert.equal(client.state.connection, 'reconnecting');
  assert.equal(client.state.retryAtMs, 500);
  assert.equal(client.state.groups.length, 4);
  timers.advance(500);
  sockets.last.handlers.onOpen();
  assert.equal(client.state.connection, 'live');
});

test('a request that fails drops the feed: half a page must not look live', async () => {
  const { sockets, client } = coordinator(chain, {
    overview: () => {
      throw new Error('HTTP 503');
    },
  });
  sockets.last.handlers.onOpen();
  await settle();
  assert.equal(client.state.connection, 'reconnecting');
});

test('another network at the same address takes nothing over from the one before', async () => {
  let network = hash('1');
  const { sockets, client, timers } = coordinator(chain, {
    overview: () => overviewView({ network, losses: network === hash('1') ? overviewView().losses : [] }),
  });
  sockets.last.handlers.onOpen();
  await settle();
  assert.equal(client.state.losses.length, 1);
  network = hash('2');
  timers.advance(15_000);
  await settle();
  assert.equal(client.state.overview?.network, hash('2'));
  assert.deepEqual(client.state.losses, []);
});

test('an event that lacks the fields of its type changes nothing', async () => {
  const { sockets, client, timers } = coordinator(chain);
  sockets.last.handlers.onOpen();
  await settle();
  const before = client.state;
  sockets.last.handlers.onText('{"type":"submission"}');
  sockets.last.handlers.onText('{"type":"loss"}');
  timers.advance(100);
  assert.deepEqual(client.state, before);
});

test('subscribers are called at once, on changes, and not after they left', () => {
  const { sockets, client } = coordinator(chain);
  const seen: string[] = [];
  const leave = client.subscribe(({ connection }) => seen.push(connection));
  sockets.last.handlers.onOpen();
  leave();
  sockets.last.handlers.onClose();
  assert.deepEqual(seen, ['connecting', 'live']);
});

test('opening a group asks for all its blocks', async () => {
  const { sockets, client, asked } = coordinator(chain);
  sockets.last.handlers.onOpen();
  await settle();
  await client.loadGroup(30, 59);
  assert.equal(asked.at(-1), 'chain/B/blocks?from=30&limit=30');
  assert.equal(client.state.groups[2]?.blocks.length, PARTS);
});
