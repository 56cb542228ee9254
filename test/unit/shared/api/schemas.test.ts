import assert from 'node:assert/strict';
import { test } from 'node:test';
import { chatRequestSchema } from '#shared/api/chat-schemas.ts';
import { blocksQuerySchema, listQuerySchema } from '#shared/api/schemas.ts';

test('queries: defaults, plain digits', () => {
  assert.deepEqual(listQuerySchema.parse({}), { limit: 50 });
  assert.deepEqual(listQuerySchema.parse({ limit: '500', state: 'paid' }), { limit: 500, state: 'paid' });
  assert.deepEqual(blocksQuerySchema.parse({ from: '0', limit: '1' }), { from: 0, limit: 1 });
});

test('queries: other numbers, repeated and unknown keys are refused', () => {
  const numbers = [
    '',
    ' ',
    '0',
    '501',
    '-1',
    '1.0',
    '1e1',
    '0x5',
    ' 5',
    '5 ',
    '٥',
    'NaN',
    '99999999999999999',
    ['5'],
    ['5', '5'],
    {},
    null,
  ];
  for (const limit of numbers)
    assert.ok(!listQuerySchema.safeParse({ limit }).success, JSON.stringify(limit));
  for (const from of ['', '-1', '1e3', ['1']]) assert.ok(!blocksQuerySchema.safeParse({ from }).success);
  assert.ok(!listQuerySchema.safeParse({ state: 'toString' }).success);
  assert.ok(!listQuerySchema.safeParse({ limits: '5' }).success);
});

test('chat: bounds, defaults, unknown keys', () => {
  assert.deepEqual(chatRequestSchema.parse({ prompt: 'x' }), {
    prompt: 'x',
    max_tokens: 64,
  });
  const messages = [
    { role: 'system', content: '' },
    { role: 'user', content: 'x' },
  ];
  const all = { top_k: 0, top_p: 1, min_p: 0, repetition_penalty: 1.1, stop: ['a', 'b'], seed: 1 };
  const full = { messages, max_tokens: 9, temperature: 0, ...all };
  assert.deepEqual(chatRequestSchema.parse(full), full);
  assert.equal(chatRequestSchema.parse({ prompt: 'x', stop: 'a' }).stop, 'a');
  const bad = [
    'x',
    null,
    [],
    {},
    { prompt: '' },
    { prompt: 'x'.repeat(20_001) },
    { prompt: 'x', max_tokens: 0 },
    { prompt: 'x', max_tokens: 1.5 },
    { prompt: 'x', temperature: -1 },
    { prompt: 'x', temperature: Number.NaN },
    { prompt: 'x', temperature: Number.POSITIVE_INFINITY },
    { prompt: 'x', messages },
    { messages: [] },
    { messages: Array.from({ length: 201 }, () => messages[1]) },
    { messages: [{ role: 'tool', content: 'x' }] },
    { messages: [{ role: 'user' }] },
    { messages: [{ role: 'user', content: 'x', name: 'y' }] },
    { prompt: 'x', top_k: -1 },
    { prompt: 'x', top_k: 0.5 },
    { prompt: 'x', top_p: 0 },
    { prompt: 'x', top_p: 1.1 },
    { prompt: 'x', min_p: -0.1 },
    { prompt: 'x', repetition_penalty: 0 },
    { prompt: 'x', stop: '' },
    { prompt: 'x', stop: [''] },
    { prompt: 'x', stop: Array.from({ length: 9 }, () => 'a') },
    { prompt: 'x', stop: 'a'.repeat(101) },
    { prompt: 'x', seed: -1 },
    { prompt: 'x', seed: 2 ** 32 },
    JSON.parse('{"prompt":"x","__proto__":{"seed":1}}'),
  ];
  for (const body of bad) assert.ok(!chatRequestSchema.safeParse(body).success, JSON.stringify(body));
});
