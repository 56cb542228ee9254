import assert from 'node:assert/strict';
import { after, it } from 'node:test';
import { keyPair } from '#shared/crypto/keys.ts';
import { devModelRef } from '#test/helpers/dev-model-ref.ts';
import { keptLog } from '#test/helpers/quiet-log.ts';
import { tempDir } from '#test/helpers/temp-dir.ts';
import { TestGateway } from '#test/helpers/test-gateway.ts';
import { runWorker } from '#worker/node.ts';

const key = keyPair(new Uint8Array(32).fill(9));
const windows = Array.from({ length: 24 }, (_, i) => 2 * i);

/** A real worker with one evaluation in hand, told to stop. */
async function stopped(drainMs: number) {
  const gateway = await TestGateway.start();
  after(() => gateway.close());
  const { log, lines } = keptLog();
  const stop = new AbortController();
  const ended = runWorker(
    {
      coordinators: [gateway.url],
      dataDir: await tempDir(),
      roles: ['evaluate'],
      threads: 1,
      backend: 'wasm',
      grinder: 'wasm',
      evaluators: 1,
      drainMs,
      statusPort: false,
      name: 'draining',
      software: 'test',
    },
    {
      log,
      now: Date.now,
      random: Math.random,
      key,
      machine: { cores: 2, memoryBytes: 4e9, node: '20' },
      token: async () => undefined,
      memoryBytes: () => 1e8,
    },
    stop.signal,
  );
  await gateway.next('ready');
  const model = devModelRef(gateway);
  const about = { submission: '11'.repeat(32), head: '22'.repeat(32), candidateRoot: model.root };
  gateway.send({ type: 'evaluate', lease: 'l', ...about, model, changed: [], windows, rule: null });
  await gateway.until(() => gateway.payloadRequests.length > 0);
  stop.abort();
  return { gateway, ended, lines };
}

it('finishes the evaluation that it holds, shows it, and says goodbye', async () => {
  const { gateway, ended } = await stopped(120_000);
  await gateway.next('drain');
  await gateway.next('committed');
  gateway.send({ type: 'reveal', lease: 'l' });
  const { base } = await gateway.next('evaluated');
  assert.equal(base.length, windows.length);
  await gateway.next('goodbye');
  await ended;
  const types = gateway.received.map(({ type }) => type).filter((type) => type !== 'heartbeat');
  assert.ok(types.indexOf('drain') < types.indexOf('evaluated'));
  assert.equal(types.at(-1), 'goodbye');
});

it('gives back what takes longer than it may', async () => {
  const { gateway, ended, lines } = await stopped(100);
  await gateway.next('goodbye');
  await ended;
  assert.equal(gateway.count('evaluated'), 0);
  assert.ok(
    lines.some((line) => line.includes('given back')),
    lines.join('\n'),
  );
});
