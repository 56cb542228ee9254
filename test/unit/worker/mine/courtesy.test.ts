import assert from 'node:assert/strict';
import { it } from 'node:test';
import { Courtesy, defaultThreads } from '#worker/mine/courtesy.ts';

function traced(threads: number, device: 'cpu' | 'gpu' = 'cpu') {
  const calls: string[] = [];
  const [pause, resume] = ['pause', 'resume'].map((call) => () => void calls.push(call)) as [
    () => void,
    () => void,
  ];
  return { threads, device, calls, pause, resume };
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

it('pauses a GPU that hashes, however many cores there are', async () => {
  const grinder = traced(1, 'gpu');
  await new Courtesy(grinder, 64).during(async () => {});
  assert.deepEqual(grinder.calls, ['pause', 'resume']);
});

it('hashes in short turns while a long computation goes on, for three percent of the time', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const grinder = traced(1);
  let end = () => {};
  const computing = new Courtesy(grinder, 2).during(() => new Promise<void>((resolve) => (end = resolve)));
  t.mock.timers.tick(4_999);
  assert.deepEqual(grinder.calls, ['pause']);
  t.mock.timers.tick(1);
  assert.deepEqual(grinder.calls, ['pause', 'resume']);
  t.mock.timers.tick(150);
  assert.deepEqual(grinder.calls, ['pause', 'resume', 'pause']);
  t.mock.timers.tick(5_000);
  t.mock.timers.tick(150);
  assert.equal(grinder.calls.length, 5);
  end();
  await computing;
  assert.equal(grinder.calls.at(-1), 'resume');
  t.mock.timers.tick(60_000);
  assert.equal(grinder.calls.length, 6);
});

it('computes without a grinder', async () => {
  assert.equal(await new Courtesy(undefined, 1).during(async () => 7), 7);
});
