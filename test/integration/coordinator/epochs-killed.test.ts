import assert from 'node:assert/strict';
import { after, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { newKeyPair } from '#coordinator/store/key-files.ts';
import { journalPageSchema } from '#shared/api/audit-schemas.ts';
import { epochsSchema } from '#shared/api/epoch-schemas.ts';
import { modelSchema, submissionSchema } from '#shared/api/schemas.ts';
import { decodeEntry } from '#shared/block/journal.ts';
import { toHex } from '#shared/crypto/bytes.ts';
import { seededUniform } from '#shared/weights/random.ts';
import { aiblock, ChildHandle } from '#test/helpers/child.ts';
import { better, FakeWorker } from '#test/helpers/fake-worker.ts';
import { fileOf, post, SMALL_TENSOR, smallContent } from '#test/helpers/small-genesis.ts';
import { TestCoordinator, TOKEN } from '#test/helpers/test-coordinator.ts';
import { skipWithout } from '#test/helpers/tools.ts';
import { until } from '#test/helpers/until.ts';

const EPOCHS = 3;
const SEALS = 2;
/** Kills fall so soon after a worker has shown its losses: before, in and after the batch that settles them. */
const SPREAD_MS = 12;

/** The coordinator as a process that can be killed, and one worker that it asks. */
class Killed {
  readonly #dataDir: string;
  readonly #key = newKeyPair();
  #child: ChildHandle | undefined;
  #worker: FakeWorker | undefined;
  /** Called when held-out losses were shown. */
  onShown: () => void = () => undefined;
  /** Every second submission gains nothing on text that nobody had seen. */
  readonly tuned = new Set<string>();
  url = '';

  constructor(dataDir: string) {
    this.#dataDir = dataDir;
  }

  async start(): Promise<void> {
    const args = ['coordinator', '--data-dir', this.#dataDir, '--port', '0'];
    const child = ChildHandle.aiblock('coordinator', args, { AIBLOCK_WORKER_TOKEN: TOKEN });
    this.#child = child;
    const line = await child.line((text) => text.startsWith('{"url":') && text);
    this.url = (JSON.parse(line) as { url: string }).url;
    await this.attach();
  }

  /** Also again: on a busy machine it may be taken for lost. */
  async attach(): Promise<void> {
    if (this.#worker && !this.#worker.closed) return;
    const heldOut = new Set<string>();
    this.#worker = await FakeWorker.attach({
      ...{ url: this.url, key: this.#key, token: TOKEN },
      losses: (lease) => {
        const found = better(100_000)(lease);
        if (!lease.heldOut) return found;
        heldOut.add(lease.lease);
        return this.tuned.has(lease.submission) ? { base: found.base, candidate: found.base } : found;
      },
      onReveal: (worker, lease) => {
        worker.reveal(lease);
        if (heldOut.has(lease)) this.onShown();
      },
    });
  }

  async kill(): Promise<void> {
    this.#child?.kill('SIGKILL');
    await this.#child?.ended;
    await this.#worker?.close();
  }

  async stop(): Promise<void> {
    await this.#worker?.close();
    await this.#child?.stop();
  }

  async seal(value: number, isTuned: boolean): Promise<void> {
    const model = modelSchema.parse(await this.get('/model'));
    const file = fileOf(model, { key: newKeyPair(), tensors: { [SMALL_TENSOR]: value + 0.125 } });
    if (isTuned) this.tuned.add(file.id);
    assert.equal((await post(this.url, file)).status, 202);
    await until('it is paid', async () => {
      const view = submissionSchema.safeParse(await this.get(`/submissions/${file.id}`));
      return view.data?.state === 'paid';
    });
  }

  async get(path: string): Promise<unknown> {
    return (await fetch(new URL(path, this.url))).json();
  }
}

it('settles what vests once, whenever it is killed', { skip: skipWithout('redis-server') }, async () => {
  const epoch = { seals: SEALS, shards: 1 };
  const inside = await TestCoordinator.start({}, smallContent(), { epoch });
  await inside.stop();
  const pool = new Killed(inside.dataDir);
  after(async () => {
    await pool.stop();
    await inside.destroy();
  });
  await pool.start();
  const random = seededUniform(5);
  for (let number = 0; number < EPOCHS; number++) {
    let killing = Promise.resolve();
    // At every result of the epoch: killed, started again, and asked for what it did not write down.
    let kills = 0;
    pool.onShown = () => {
      if (kills++ >= SEALS) return;
      killing = killing.then(async () => {
        await sleep(random() * SPREAD_MS);
        await pool.kill();
        await pool.start();
      });
    };
    for (let i = 0; i < SEALS; i++) await pool.seal(number * SEALS + i, i % 2 === 1);
    await until(`epoch ${number} is settled`, async () => {
      await killing;
      await pool.attach();
      const { epochs } = epochsSchema.parse(await pool.get('/epochs'));
      return epochs[number]?.state === 'settled';
    });
    assert.ok(kills > 0);
  }
  const page = journalPageSchema.parse(await pool.get('/journal?limit=500'));
  const entries = page.entries.map((bytes) => decodeEntry(Uint8Array.from(Buffer.from(bytes, 'hex'))));
  const settled = entries.filter(({ kind }) => kind === 'release' || kind === 'forfeit');
  assert.equal(settled.length, EPOCHS * SEALS);
  assert.equal(new Set(settled.map(({ ref }) => toHex(ref))).size, EPOCHS * SEALS);
  for (const { kind, ref, amount } of settled) {
    assert.equal(kind, pool.tuned.has(toHex(ref)) ? 'forfeit' : 'release');
    assert.deepEqual(
      entries
        .filter((entry) => entry.kind === 'vest' && toHex(entry.ref) === toHex(ref))
        .map((e) => e.amount),
      [amount],
    );
  }
  const verified = await aiblock(['verify', '--coordinator', pool.url]);
  assert.equal(verified.code, 0, verified.stdout + verified.stderr);
  assert.match(verified.stdout, /vested parts +6/);
});
