import assert from 'node:assert/strict';
import { it } from 'node:test';
import { Courtesy, defaultThreads } from '#worker/mine/courtesy.ts';

function traced(threads: number): { threads: number; pause(): void; resume(): void; calls: string[] } {
  const calls: string[] = [];
  return { threads, calls, pause: () => calls.push('pause'), resume: () => calls.push('resume') };
}

it('pauses hashing on two cores while something is computed', async () => {
  const grinder = traced(defaultThreads(2));
  const courtesy = new Courtesy(grinder, 2);
  await courtesy.during(async () => {
    await courtesy.during(async () => {});
    assert.deepEqual(grinder.calls, ['pause']);
  });
  assert.deepEqual(grinder.calls, ['pause', 'resume']);
});

it('goes on hashing after a computation that failed', async () => {
  const grinder = traced(1);
  await assert.rejects(new Courtesy(grinder, 1).during(async () => Promise.reject(new Error('failed'))));
  assert.deepEqual(grinder.calls, ['pause', 'resume']);
});

it('leaves hashing alone where there are cores for all', async () => {
  for (const cores of [3, 4, 16]) {
    const grinder = traced(defaultThreads(cores));
    await new Courtesy(grinder, cores).during(async () => {});
    assert.deepEqual(grinder.calls, []);
  }
});

it('computes without a grinder', async () => {
  assert.equal(await new Courtesy(undefined, 1).during(async () => 7), 7);
});
