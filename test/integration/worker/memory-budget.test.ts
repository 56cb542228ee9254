import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, it } from 'node:test';
import { devModelRef, scaledTensor } from '#test/helpers/dev-model-ref.ts';
import { keptLog } from '#test/helpers/quiet-log.ts';
import { tempDir } from '#test/helpers/temp-dir.ts';
import { TestGateway } from '#test/helpers/test-gateway.ts';
import { Evaluator } from '#worker/evaluate/evaluator.ts';
import { ProcessHost } from '#worker/process/host.ts';

const gateway = await TestGateway.start();
const cacheDir = join(await tempDir(), 'cache');
const hosts: ProcessHost[] = [];
after(async () => {
  await Promise.all(hosts.map((host) => host.close()));
  await gateway.close();
});

/** An evaluator whose process may have so many bytes of weights in memory. */
function evaluator(memoryBudgetBytes?: number): Evaluator {
  const host = new ProcessHost(
    {
      entry: new URL('../../../worker/evaluate/process.ts', import.meta.url),
      setting: { coordinators: [gateway.url], backend: 'wasm', cacheDir, cacheBytes: 1e9, memoryBudgetBytes },
      memoryLimitBytes: 4 * 2 ** 30,
      requestsPerChild: 100,
      crashCode: 'EVALUATION_CRASHED',
    },
    keptLog().log,
  );
  hosts.push(host);
  return new Evaluator(host, { now: () => performance.now(), deadlineMs: 120_000 });
}

const model = devModelRef(gateway);
const weightBytes = model.tensors.reduce((sum, { shape }) => sum + shape.reduce((a, b) => a * b, 4), 0);
const change = scaledTensor(gateway, model, { name: 'transformer.wte.weight', factor: 0.5 });
const job = { model, ...change, windows: [1, 5, 9, 13], bearer: 'session-1' };
const signal = new AbortController().signal;

it('a model four times the budget has the losses that it has in memory, in micro-nats', async () => {
  const whole = await evaluator().evaluate(job, signal, () => {});
  const streamed = await evaluator(weightBytes / 4).evaluate(job, signal, () => {});
  for (const which of ['base', 'candidate'] as const) {
    for (const [i, loss] of whole[which].entries()) {
      const difference = Math.abs(Number(streamed[which][i]) - Number(loss));
      assert.ok(difference <= 5, `${which} ${i}: ${loss} and ${streamed[which][i]} micro-nats`);
    }
  }
  assert.notDeepEqual(whole.base, whole.candidate);
});

it('MEMORY_BUDGET where one layer is larger', async () => {
  await assert.rejects(
    evaluator(10_000).evaluate(job, signal, () => {}),
    { code: 'MEMORY_BUDGET', message: /at least \d+ bytes/ },
  );
});
