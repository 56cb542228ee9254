import assert from 'node:assert/strict';
import { it } from 'node:test';
import { LinkEnd } from '#coordinator/dispatch/link/link-end.ts';
import { until } from '#test/helpers/until.ts';

interface Sent {
  readonly seq: number;
  readonly ack: number;
  readonly messages: unknown[];
}

function end(write?: (text: string) => Promise<void>) {
  const sent: Sent[] = [];
  let broken = 0;
  const link = new LinkEnd<unknown>('a link', {
    ...{ from: 'x', version: '1' },
    onBroken: () => {
      broken += 1;
    },
    write: async (text) => {
      await write?.(text);
      sent.push(JSON.parse(text) as Sent);
    },
  });
  return { link, sent, broken: () => broken };
}

it('sends what one turn of the event loop says in one frame, numbered from 1', async () => {
  const { link, sent } = end();
  for (let i = 0; i < 5; i++) link.send({ i });
  await link.flushed();
  link.send({ i: 5 });
  await link.flushed();
  assert.deepEqual(
    sent.map(({ seq, messages }) => [seq, messages.length]),
    [
      [1, 5],
      [2, 1],
    ],
  );
});

it('takes each frame once and in order, and tells where one is missing', () => {
  const { link } = end();
  const places = [1, 2, 2, 1, 3, 5].map((seq) => link.take({ seq, ack: 0 }));
  assert.deepEqual(places, ['next', 'next', 'again', 'again', 'next', 'gap']);
});

it('says what it has taken', async () => {
  const { link, sent } = end();
  link.take({ seq: 1, ack: 0 });
  link.beat();
  await link.flushed();
  assert.deepEqual(sent[0], { from: 'x', version: '1', link: 'a link', seq: 1, ack: 1, messages: [] });
});

it('writes a frame again until it is on its way', async () => {
  let failures = 2;
  const { link, sent } = end(async () => {
    if (failures-- > 0) throw new Error('Redis is away');
  });
  link.send('x');
  await until('it is sent', () => sent.length === 1);
  assert.equal(sent[0]?.seq, 1);
});

it('breaks, once, where the other end takes nothing of a great deal', async () => {
  const { link, broken, sent } = end();
  const message = 'x'.repeat(1024 * 1024);
  for (let i = 0; i < 100; i++) link.send(message);
  assert.equal(broken(), 1);
  await link.flushed();
  assert.ok(sent.length < 70);
});

it('carries on without end where the other end takes what comes', async () => {
  const { link, broken, sent } = end();
  const message = 'x'.repeat(1024 * 1024);
  for (let i = 0; i < 100; i++) {
    link.send(message);
    await link.flushed();
    link.take({ seq: i + 1, ack: sent.at(-1)?.seq ?? 0 });
  }
  assert.equal(broken(), 0);
});

it('sends what is said just as the frame before is on its way', async () => {
  const MOST = 20;
  /** The next is said so many turns of the microtasks after the write of the one before. */
  const sayNext = async (turns: number) => {
    for (let i = 0; i < turns; i++) await undefined;
    if (turns < MOST) link.send({ turns });
  };
  const { link, sent } = end(async () => void sayNext(sent.length + 1));
  link.send({ turns: 0 });
  await until('all are sent', () => sent.length === MOST);
});
