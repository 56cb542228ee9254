import assert from 'node:assert/strict';
import { test } from 'node:test';
import { completionRequestSchema } from '#shared/api/completions.ts';

const messages = [{ role: 'user', content: 'x' }];

test('a request of an OpenAI client becomes a question of ours', () => {
  assert.deepEqual(completionRequestSchema.parse({ model: 'any', messages }), {
    question: { messages, max_tokens: 1024 },
    stream: false,
    includeUsage: false,
  });
  const parts = [
    { type: 'text', text: 'a' },
    { type: 'text', text: 'b' },
  ];
  const full = {
    messages: [
      { role: 'developer', content: 'brief' },
      { role: 'user', content: parts, name: 'anna' },
    ],
    max_tokens: 5,
    max_completion_tokens: 90_000,
    temperature: 0,
    top_p: null,
    stop: ['a'],
    seed: 3,
    stream: true,
    stream_options: { include_usage: true },
    n: 1,
    presence_penalty: 0,
    user: 'anna',
    top_k: 4,
  };
  assert.deepEqual(completionRequestSchema.parse(full), {
    question: {
      messages: [
        { role: 'system', content: 'brief' },
        { role: 'user', content: 'ab' },
      ],
      max_tokens: 1024,
      temperature: 0,
      top_k: 4,
      stop: ['a'],
      seed: 3,
    },
    stream: true,
    includeUsage: true,
  });
});

test('what this pool cannot do is refused, not passed over', () => {
  const bad = [
    {},
    { messages: [] },
    { messages: [{ role: 'tool', content: 'x' }] },
    { messages: [{ role: 'user', content: [{ type: 'image_url', image_url: { url: 'x' } }] }] },
    { messages: [{ role: 'user', content: null }] },
    { messages, n: 2 },
    { messages, tools: [] },
    { messages, logprobs: true },
    { messages, presence_penalty: 0.5 },
    { messages, max_tokens: 0 },
    { messages, temperature: 9 },
    { messages, stop: [''] },
    { messages, response_format: { type: 'json_object' } },
  ];
  for (const body of bad) assert.ok(!completionRequestSchema.safeParse(body).success, JSON.stringify(body));
});
