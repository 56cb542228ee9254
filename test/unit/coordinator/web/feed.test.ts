import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Feed, parseEvent } from '#coordinator/web/app/net/feed.ts';
import { ManualSockets, ManualTimers } from './stand-ins.ts';

function started() {
  const timers = new ManualTimers();
  const sockets = new ManualSockets();
  const log: string[] = [];
  const feed = new Feed(
    {
      onLive: () => log.push('live'),
      onLost: (retryAtMs) => log.push(`lost until ${retryAtMs}`),
      onEvents: (events) => log.push(`events ${events.map(({ type }) => type).join()}`),
    },
    { open: sockets.open, timers, random: () => 1 },
  );
  feed.start();
  return { timers, sockets, log, feed };
}

test('waits double up to ten seconds, and begin anew after a connection that stood', () => {
  const { timers, sockets, log } = started();
  for (let i = 0; i < 7; i++) {
    sockets.last.handlers.onClose();
    timers.advance(10_000);
  }
  const waits = log.map((line, i) => Number(line.split(' ').at(-1)) - i * 10_000);
  assert.deepEqual(waits, [1_000, 2_000, 4_000, 8_000, 10_000, 10_000, 10_000]);
  sockets.last.handlers.onOpen();
  timers.advance(60_000);
  const before = timers.now();
  sockets.last.handlers.onClose();
  assert.equal(log.at(-1), `lost until ${before + 500}`);
});

test('retryNow connects once, and does nothing while connected', () => {
  const { sockets, feed, timers } = started();
  feed.retryNow();
  assert.equal(sockets.opened.length, 1);
  sockets.last.handlers.onClose();
  feed.retryNow();
  timers.advance(60_000);
  assert.equal(sockets.opened.length, 2);
});

test('events come in batches, and what is not one is passed over', () => {
  const { timers, sockets, log } = started();
  for (const text of ['{"type":"head"}', 'not json', '42', '{"type":"loss"}'])
    sockets.last.handlers.onText(text);
  assert.deepEqual(log, []);
  timers.advance(100);
  assert.deepEqual(log, ['events head,loss']);
});

test('after stop nothing is opened any more', () => {
  const { timers, sockets, feed, log } = started();
  feed.stop();
  timers.advance(60_000);
  assert.equal(sockets.opened.length, 1);
  assert.equal(sockets.last.closed, true);
  assert.deepEqual(log, []);
});

test('an event is an object with a type', () => {
  assert.equal(parseEvent('null'), null);
  assert.equal(parseEvent('[]'), null);
  assert.deepEqual(parseEvent('{"type":"head"}'), { type: 'head' });
});
