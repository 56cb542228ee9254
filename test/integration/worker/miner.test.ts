import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { before, it } from 'node:test';
import { keyPair } from '#shared/crypto/keys.ts';
import { tempDir } from '#test/helpers/temp-dir.ts';
import { TINY_TEXT, TinyPool } from '#test/helpers/tiny-pool.ts';
import { startBackend } from '#worker/model/backend/start.ts';
import { Miner, type MinerOptions } from '#worker/train/miner.ts';
import type { MinerEvent } from '#worker/train/miner-events.ts';

type Of<T extends MinerEvent['type']> = Extract<MinerEvent, { type: T }>;

const key = keyPair(new Uint8Array(32).fill(8));
const otherKey = keyPair(new Uint8Array(32).fill(9));
const file = join(await tempDir(), 'text.txt');
before(async () => {
  await writeFile(file, TINY_TEXT);
  await startBackend('wasm');
});

/** A running miner, and its events one by one. Time runs a hundred times as fast. */
class Run {
  readonly pool: TinyPool;
  readonly events: MinerEvent[] = [];
  readonly ended: Promise<void>;
  readonly #stop = new AbortController();
  #wake = () => {};
  #read = 0;

  constructor(options: Partial<MinerOptions> = {}, pool = new TinyPool(), miner = key) {
    const started = performance.now();
    this.pool = pool;
    const mining = new Miner(
      {
        batchSize: 4,
        learningRate: 1e-2,
        file,
        backend: 'wasm',
        firstLookMs: 100,
        priceShare: 1e6,
        ...options,
      },
      {
        api: pool,
        payloads: pool,
        key: miner,
        random: () => 0.25,
        now: () => (performance.now() - started) * 100,
        report: (event) => {
          this.events.push(event);
          this.#wake();
        },
      },
    );
    this.ended = mining.run(this.#stop.signal);
    this.ended.catch(() => {});
  }

  /** The next event of this type, after those that were asked for before. */
  async next<T extends MinerEvent['type']>(type: T): Promise<Of<T>> {
    for (;;) {
      while (this.#read < this.events.length) {
        const event = this.events[this.#read++] as MinerEvent;
        if (event.type === type) return event as Of<T>;
      }
      await new Promise<void>((resolve) => (this.#wake = resolve));
    }
  }

  /** The first event of this type, whenever it came. */
  async first<T extends MinerEvent['type']>(type: T): Promise<Of<T>> {
    for (;;) {
      const found = this.events.find((event) => event.type === type);
      if (found) return found as Of<T>;
      await new Promise<void>((resolve) => (this.#wake = resolve));
    }
  }

  async stop(): Promise<void> {
    this.#stop.abort(new Error('stopped'));
    await this.ended;
  }
}

it('submits what it should pass, is paid, and goes on from its own weights', async () => {
  const run = new Run();
  const { pool } = run;
  const genesis = pool.root;
  const estimate = await run.next('estimate');
  const { submission } = await run.next('sent');
  assert.ok(run.events.includes(estimate));
  const [first] = pool.submissions;
  assert.equal(first?.view.id, submission);
  assert.equal(first?.view.base, genesis);
  assert.deepEqual(first?.manifest.miner, key.publicKey);
  pool.accept();
  assert.equal((await run.next('accepted')).reward, '100');
  assert.equal((await run.next('balance')).units, '100');
  assert.equal((await run.next('head')).continued, 'ours');
  await run.next('sent');
  assert.equal(pool.submissions[1]?.view.base, first && pool.root);
  await run.stop();
  assert.ok(
    run.events
      .filter((e): e is Of<'estimate'> => e.type === 'estimate' && e.send)
      .every((e) => e.gainNats > 0),
  );
});

it('starts again from a head to which its own training adds nothing', async () => {
  const run = new Run({ firstLookMs: 1e9, learningRate: 1e30, warmup: 1 });
  while ((await run.next('step')).step < 4);
  run.pool.commit(run.pool.freshTensors(99));
  assert.equal((await run.next('head')).continued, 'restarted');
  const astray = (run.events.findLast((event) => event.type === 'step') as Of<'step'>).loss;
  const { loss } = await run.next('step');
  assert.ok(loss < 7 && !(astray < 7), `expected the loss of untrained weights, got ${loss} after ${astray}`);
  await run.stop();
});

it('tells why a submission was rejected, and trains on', async () => {
  const run = new Run();
  await run.next('sent');
  run.pool.reject('GATE_NOT_BETTER');
  const { code, details } = await run.next('rejected');
  assert.deepEqual([code, details], ['GATE_NOT_BETTER', { gain_micro_nats: 1 }]);
  await run.next('sent');
  await run.stop();
});

it('UNAVAILABLE is no reason to stop training', async () => {
  const run = new Run();
  await run.next('step');
  run.pool.away = true;
  assert.equal((await run.next('trouble')).code, 'UNAVAILABLE');
  await run.next('step');
  run.pool.away = false;
  await run.next('sent');
  await run.stop();
});

it('UNAVAILABLE where the pool cannot be reached at first', async () => {
  const pool = new TinyPool();
  pool.away = true;
  const options = { batchSize: 4, file, backend: 'wasm' };
  const miner = new Miner(options, {
    api: pool,
    payloads: pool,
    key,
    report: () => {},
    now: () => 0,
    random: () => 0,
  });
  await assert.rejects(miner.run(new AbortController().signal), { code: 'UNAVAILABLE' });
});

it('ends after its steps, with its last weights submitted', async () => {
  const run = new Run({ steps: 30, firstLookMs: 1e9 });
  await run.next('sent');
  run.pool.accept();
  await run.ended;
  assert.equal(run.events.filter(({ type }) => type === 'step').length, 30);
  assert.equal(
    run.events.some(({ type }) => type === 'accepted'),
    true,
  );
});

it('goes on from its checkpoint while the head is its base, and begins anew from another', async () => {
  const checkpoint = join(await tempDir(), 'state');
  const options = { checkpoint, firstLookMs: 1e9 };
  const first = new Run(options);
  while ((await first.next('step')).step < 5);
  await first.stop();
  const saved = first.events.findLast((e): e is Of<'checkpoint'> => e.type === 'checkpoint');
  assert.equal(saved?.state, 'saved');

  const second = new Run(options, first.pool);
  assert.deepEqual(await second.next('checkpoint'), {
    type: 'checkpoint',
    step: saved?.step,
    state: 'resumed',
  });
  await second.next('step');
  await second.stop();

  first.pool.commit(first.pool.freshTensors(7));
  const third = new Run(options, first.pool);
  assert.equal((await third.next('checkpoint')).state, 'outdated');
  await third.next('step');
  await third.stop();

  const other = new Run({ ...options, batchSize: 5 }, first.pool);
  await assert.rejects(other.ended, { code: 'CHECKPOINT', message: /batch 4, this run has 5/ });
});

it('trains and sends chosen tensors alone', async () => {
  const only = ['transformer.h.0.mlp.*', 'transformer.wte.weight'];
  const run = new Run({ only, accumulate: 2 });
  const before = new Set((await run.pool.model()).tensors.map(({ hash }) => hash));
  await run.next('sent');
  const { tensors } = run.pool.submissions[0] as { tensors: { name: string; hash: string }[] };
  assert.equal(tensors.length, 5);
  assert.ok(tensors.every(({ name, hash }) => /mlp|wte/.test(name) && !before.has(hash)));
  run.pool.accept();
  await run.next('accepted');
  assert.equal((await run.next('head')).continued, 'ours');
  await run.stop();
});

/** Ends after few steps, with a submission: no training follows. */
const SHORT = { steps: 12, firstLookMs: 1e9 };

it('adds its change to the head of another miner, also what was refused for it, without a training step', async () => {
  const pool = new TinyPool();
  const first = new Run(SHORT, pool);
  await first.next('sent');
  const second = new Run({ ...SHORT, seed: 77 }, pool, otherKey);
  await second.next('sent');
  const before = pool.values();
  const change = pool.values(1);
  pool.accept(0);
  await first.ended;
  const head = pool.values();
  pool.reject('GATE_NOT_BETTER', 1);
  assert.equal((await second.next('rejected')).code, 'GATE_NOT_BETTER');
  // It may hear of the head before it hears of its own submission.
  assert.equal((await second.first('head')).continued, 'merged');
  const estimate = await second.next('estimate');
  assert.ok(estimate.send && estimate.gainNats > 0);
  await second.next('sent');
  assert.equal(pool.submissions.length, 3);
  assert.equal(pool.submissions[2]?.view.base, pool.root);
  assert.notDeepEqual(head, before);
  for (const [name, values] of pool.values(2)) {
    const [b, h, c] = [before, head, change].map((tensors) => tensors.get(name) as Float32Array);
    const sum = values.map((_, i) => (h?.[i] as number) + ((c?.[i] as number) - (b?.[i] as number)));
    assert.deepEqual(values, sum, name);
  }
  pool.accept();
  await second.next('accepted');
  await second.ended;
  assert.equal(second.events.filter(({ type }) => type === 'step').length, SHORT.steps);
});

it('a submission in flight may be accepted beside the change of another miner', async () => {
  const pool = new TinyPool();
  const first = new Run({ ...SHORT, only: ['*.mlp.*'] }, pool);
  await first.next('sent');
  const second = new Run({ ...SHORT, only: ['transformer.wte.weight'] }, pool, otherKey);
  await second.next('sent');
  pool.accept(0);
  const { continued, root } = await second.next('head');
  assert.deepEqual([continued, root], ['merged', pool.root]);
  pool.accept(1);
  await second.next('accepted');
  assert.equal((await second.next('head')).continued, 'ours');
  await Promise.all([first.ended, second.ended]);
  assert.equal(pool.submissions.length, 2, 'what has landed is not submitted again');
});
