import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { silentLog } from '#worker/log.ts';
import { ProcessHost } from '#worker/process/host.ts';

const host = new ProcessHost(
  {
    entry: new URL('../../../helpers/misbehaving-process.ts', import.meta.url),
    setting: {},
    memoryLimitBytes: 400 * 2 ** 20,
    crashCode: 'EVALUATION_CRASHED',
    requestsPerChild: 100,
  },
  silentLog,
);
after(() => host.close());

const ask = (request: string, deadlineMs = 60_000, signal = new AbortController().signal) =>
  host.request({ request, deadlineMs, signal });

/** The process that did it is gone, and another answers. */
async function goesOn(before: unknown): Promise<void> {
  assert.notEqual(await ask('pid'), before);
}

test('EVALUATION_CRASHED: a process that takes more memory than it may, outside of V8 and within', async () => {
  for (const request of process.platform === 'linux' ? ['eat', 'collect'] : ['collect']) {
    const before = await ask('pid');
    await assert.rejects(ask(request), { code: 'EVALUATION_CRASHED' }, request);
    await goesOn(before);
  }
});

test('EVALUATION_CRASHED: a process that never ends, or ends by itself', async () => {
  for (const [request, deadlineMs] of [
    ['loop', 200],
    ['exit', 60_000],
  ] as const) {
    const before = await ask('pid');
    await assert.rejects(ask(request, deadlineMs), { code: 'EVALUATION_CRASHED' }, request);
    await goesOn(before);
  }
});

test('a process that does not hear an abort is ended; the reason is the caller’s', async () => {
  const before = await ask('pid');
  const stop = new AbortController();
  const looping = ask('loop', 60_000, stop.signal);
  setTimeout(() => stop.abort(new Error('not wanted any more')), 50);
  await assert.rejects(looping, /not wanted any more/);
  await goesOn(before);
});

test('a refusal is the process’ own, and it goes on', async () => {
  const before = await ask('pid');
  await assert.rejects(ask('refuse'), { code: 'LOSS_NOT_FINITE' });
  assert.equal(await ask('pid'), before);
});
