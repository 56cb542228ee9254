import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fromWorkerSchema, parseMessage, toWorkerSchema, versionsText } from '#shared/protocol/worker.ts';

const hex = (bytes: number) => 'ab'.repeat(bytes);
const hello = {
  type: 'hello',
  protocol: 1,
  publicKey: hex(33),
  name: 'w',
  software: 's',
  roles: ['evaluate'],
  backend: 'wasm',
  threads: 2,
};
const capabilities = {
  backends: [{ name: 'tensorflow', device: 'a GPU', gflops: 210.5, memoryBytes: 2 ** 34 }, { name: 'wasm' }],
  hashesPerSecond: 5e6,
  memoryBytes: 2 ** 35,
  cores: 8,
  node: '20.20.2',
};
const health = { gpus: [{ celsius: 41 }, {}], trouble: { agoMs: 5, message: 'the line broke' } };
const deviceNamed = (device: string) => ({ ...capabilities, backends: [{ name: 'wasm', device }] });
const evaluated = {
  type: 'evaluated',
  lease: 'l',
  base: [1, null],
  candidate: [1, 2],
  nonce: hex(32),
  signature: hex(64),
  ms: 1.5,
  tokens: 9,
};
const range = { type: 'range', work: 'w', lease: 'l', hashes: '0', ms: 1 };
const share = { type: 'share', work: 'w', lease: 'l', nonce: '18446744073709551615', ms: 1 };
const fault = { code: 'X', message: 'm', details: {} };
const read = (message: unknown) => parseMessage(fromWorkerSchema, JSON.stringify(message));

test('messages of a worker are read as they are', () => {
  const messages = [
    hello,
    { ...hello, token: 't' },
    { ...hello, owner: { publicKey: hex(33), signature: hex(64) } },
    { ...hello, capabilities },
    { ...hello, capabilities: { ...capabilities, backends: [] } },
    { type: 'committed', lease: 'l', commitment: hex(32) },
    evaluated,
    range,
    share,
    { type: 'proof', signature: hex(64) },
    { type: 'heartbeat', hashesPerSecond: 0, tokensPerSecond: 0.5, rssBytes: 1 },
    { type: 'heartbeat', hashesPerSecond: 0, tokensPerSecond: 0, rssBytes: 1, health },
    { type: 'ready', role: 'mine' },
    { type: 'progress', lease: 'l', done: 0, total: 1 },
    { type: 'failed', lease: 'l', error: fault },
    { type: 'chat-token', chat: 'c', text: '' },
    { type: 'chat-done', chat: 'c', tokens: 0, reason: 'length' },
    { type: 'chat-failed', chat: 'c', error: fault },
    { type: 'drain' },
    { type: 'goodbye' },
  ];
  for (const message of messages) assert.deepEqual(read(message), message);
});

const REFUSED: [string, unknown][] = [
  ['a bare text', 'hello'],
  ['null', null],
  ['a list', [hello]],
  ['no type', { lease: 'l' }],
  ['an unknown type', { type: 'grind' }],
  ['a type that every object has', { type: 'constructor' }],
  ['a message of the pool', { type: 'cancel', id: 'x' }],
  ['an unknown key', { type: 'goodbye', why: 'x' }],
  ['a missing key', { ...hello, backend: undefined }],
  ['a version that is a text', { ...hello, protocol: '1' }],
  ['an owner that did not sign', { ...hello, owner: { publicKey: hex(33) } }],
  ['an owner by address alone', { ...hello, owner: `0x${hex(20)}` }],
  ['a rate of infinity', { ...hello, capabilities: { ...capabilities, hashesPerSecond: 1e300 } }],
  ['a device that steers the terminal', { ...hello, capabilities: deviceNamed('\u001b[2J') }],
  ['capabilities without cores', { ...hello, capabilities: { ...capabilities, cores: undefined } }],
  ['a commitment of 31 bytes', { type: 'committed', lease: 'l', commitment: hex(31) }],
  ['losses without a nonce', { ...evaluated, nonce: undefined }],
  ['a key of 32 bytes', { ...hello, publicKey: hex(32) }],
  ['an upper-case key', { ...hello, publicKey: hex(33).toUpperCase() }],
  ['no role', { ...hello, roles: [] }],
  ['an unknown role', { ...hello, roles: ['root'] }],
  ['a long name', { ...hello, name: 'x'.repeat(61) }],
  ['a long token', { ...hello, token: 'x'.repeat(201) }],
  ['threads below zero', { ...hello, threads: -1 }],
  ['the role chat as a lease', { type: 'ready', role: 'chat' }],
  ['a rate below zero', { type: 'heartbeat', hashesPerSecond: -1, tokensPerSecond: 0, rssBytes: 0 }],
  ['an empty lease', { ...evaluated, lease: '' }],
  ['a long lease', { ...evaluated, lease: 'x'.repeat(101) }],
  ['a loss that is a text', { ...evaluated, base: ['1'] }],
  ['100,001 losses', { ...evaluated, base: new Array(100_001).fill(1) }],
  ['a short signature', { ...evaluated, signature: hex(63) }],
  ['a progress of nothing', { type: 'progress', lease: 'l', done: 0, total: 0 }],
  ['a nonce that is a number', { ...share, nonce: 5 }],
  ['a nonce of 2⁶⁴', { ...share, nonce: '18446744073709551616' }],
  ['a nonce with zeros before', { ...share, nonce: '07' }],
  ['a nonce in hex', { ...share, nonce: '0x5' }],
  ['hashes below zero', { ...range, hashes: '-1' }],
  ['a long piece of chat', { type: 'chat-token', chat: 'c', text: 'x'.repeat(10_001) }],
  ['a long error', { type: 'failed', lease: 'l', error: { ...fault, message: 'x'.repeat(2001) } }],
];
for (const [what, message] of REFUSED) {
  test(`MESSAGE: ${what}`, () => {
    assert.throws(() => read(message), { code: 'MESSAGE' });
  });
}

test('MESSAGE: no JSON, infinity, __proto__, levels without end; and the answer is short', () => {
  const texts = [
    '',
    'hello',
    '{"type":"goodbye"',
    '{"type":"heartbeat","hashesPerSecond":1e999,"tokensPerSecond":0,"rssBytes":0}',
    '{"type":"goodbye","__proto__":{}}',
    '['.repeat(500_000),
    `${'['.repeat(100_000)}${']'.repeat(100_000)}`,
    `{"type":"goodbye",${Array.from({ length: 50_000 }, (_, i) => `"k${i}":0`).join()}}`,
    `{"type":"${'x'.repeat(900_000)}"}`,
  ];
  for (const text of texts)
    assert.throws(
      () => parseMessage(fromWorkerSchema, text),
      (error: Error & { code?: string }) => error.code === 'MESSAGE' && error.message.length < 400,
      text.slice(0, 40),
    );
});

test('messages of the pool are checked as well', () => {
  const mine = {
    type: 'mine',
    lease: 'l',
    work: 'w',
    header: hex(264),
    bits: 0x207fffff,
    target: hex(32),
    start: '0',
    count: '1',
  };
  assert.deepEqual(parseMessage(toWorkerSchema, JSON.stringify(mine)), mine);
  for (const change of [{ header: hex(263) }, { start: '-1' }, { count: 1 }, { extra: 1 }])
    assert.throws(() => parseMessage(toWorkerSchema, JSON.stringify({ ...mine, ...change })), {
      code: 'MESSAGE',
    });
});

test('of two versions, the text says who is behind and what to do', () => {
  assert.match(versionsText({ pool: 3, worker: 2 }), /version 3 .* version 2: update the worker/);
  assert.match(versionsText({ pool: 3, worker: 4 }), /version 3 .* version 4: check out the release/);
});
