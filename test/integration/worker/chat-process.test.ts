import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, it } from 'node:test';
import { type ChatRequest, chatRequestSchema } from '#shared/api/chat-schemas.ts';
import { decodeManifest, encodeManifest } from '#shared/block/manifest.ts';
import type { ModelRef } from '#shared/protocol/worker.ts';
import { devModelRef } from '#test/helpers/dev-model-ref.ts';
import { keptLog } from '#test/helpers/quiet-log.ts';
import { tempDir } from '#test/helpers/temp-dir.ts';
import { TestGateway } from '#test/helpers/test-gateway.ts';
import { ProcessHost } from '#worker/process/host.ts';

const gateway = await TestGateway.start();
const { log } = keptLog();
const cacheDir = join(await tempDir(), 'cache');
const host = new ProcessHost(
  {
    entry: new URL('../../../worker/chat/process.ts', import.meta.url),
    setting: { coordinators: [gateway.url], backend: 'wasm', cacheDir, cacheBytes: 1e9 },
    memoryLimitBytes: 4 * 2 ** 30,
    requestsPerChild: 1_000,
    crashCode: 'UNAVAILABLE',
  },
  log,
);
after(async () => {
  await host.close();
  await gateway.close();
});

const model = devModelRef(gateway);

interface Answer {
  readonly tokens: number;
  readonly reason: string;
}

async function ask(question: Partial<ChatRequest>, more: { ref?: ModelRef; stopAfter?: number } = {}) {
  const control = new AbortController();
  let text = '';
  let pieces = 0;
  const request = {
    kind: 'answer',
    model: more.ref ?? model,
    bearer: 'session-1',
    question: chatRequestSchema.parse(question),
  };
  const onEvent = (event: unknown) => {
    text += (event as { text: string }).text;
    pieces += 1;
    if (pieces === more.stopAfter) control.abort();
  };
  const result = host.request({ request, signal: control.signal, onEvent, deadlineMs: 120_000 });
  return { ...((await result) as Answer), text, pieces };
}

const QUESTIONS = ['Call me', 'The sea was', 'The whale', 'Ahab', 'Queequeg', 'A ship', 'On deck', 'At last'];

it('answers eight questions at once, each as if it were alone', async () => {
  const questions = QUESTIONS.map((content, seed) => {
    return { messages: [{ role: 'user' as const, content }], seed, max_tokens: 30, top_p: 0.95 };
  });
  const alone = [];
  for (const question of questions.slice(0, 3)) alone.push((await ask(question)).text);
  const together = await Promise.all(questions.map((question) => ask(question)));
  assert.deepEqual(
    together.slice(0, 3).map(({ text }) => text),
    alone,
  );
  assert.ok(together.every(({ text }) => text !== ''));
});

it('ends a cancelled answer and goes on with the others, in the same process', async () => {
  const { pid } = host;
  const other = ask({ prompt: 'The sea', max_tokens: 60, seed: 1 });
  const cancelled = await ask({ prompt: 'The sea', max_tokens: 1_024, seed: 2 }, { stopAfter: 1 });
  assert.equal(cancelled.reason, 'cancelled');
  assert.ok(cancelled.tokens < 1_024, `${cancelled.tokens} tokens`);
  assert.ok((await other).tokens > 0);
  assert.equal(host.pid, pid);
});

it('CHAT_TEMPLATE: a template that never ends fails its own question only', { timeout: 60_000 }, async () => {
  const { pid } = host;
  const manifest = decodeManifest(gateway.payloads.get(model.metaPayload) as Uint8Array);
  const chat_template = '{% for i in range(90000) %}'.repeat(3) + '{% endfor %}'.repeat(3);
  const metaPayload = gateway.addPayload(encodeManifest({ ...manifest, chat_template }));
  const ref = { ...model, metaPayload };
  const stalled = ask({ messages: [{ role: 'user', content: 'x' }] }, { ref });
  const refused = assert.rejects(stalled, { code: 'CHAT_TEMPLATE', message: /took longer than/ });
  const beside = await ask({ prompt: 'The sea', max_tokens: 5, temperature: 0 }, { ref });
  await refused;
  assert.equal(beside.tokens, 5);
  assert.equal(host.pid, pid);
});
