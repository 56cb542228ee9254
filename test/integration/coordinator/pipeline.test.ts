import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import { newKeyPair } from '#coordinator/store/key-files.ts';
import { SUBMISSION_STATES } from '#shared/lifecycle.ts';
import { UNIT } from '#shared/money.ts';
import { better, type EvaluateLease } from '#test/helpers/fake-worker.ts';
import { fileOf, post, SMALL_TENSOR } from '#test/helpers/small-genesis.ts';
import { TestCoordinator } from '#test/helpers/test-coordinator.ts';
import { skipWithout } from '#test/helpers/tools.ts';
import { until } from '#test/helpers/until.ts';

/** Twice the usual one: the fake workers find a gain that is beyond the bound. */
const REWARD = 100n * UNIT;

describe('the pipeline', { skip: skipWithout('redis-server') }, () => {
  const running: TestCoordinator[] = [];
  const start = async (...options: Parameters<typeof TestCoordinator.start>) => {
    const coordinator = await TestCoordinator.start(...options);
    running.push(coordinator);
    return coordinator;
  };
  after(async () => {
    for (const coordinator of running) await coordinator.destroy();
  });
  const submit = async (pool: TestCoordinator, value: number, key = newKeyPair()) => {
    const file = fileOf(await pool.model(), { key, tensors: { [SMALL_TENSOR]: value + 0.125 } });
    const { status, code } = await post(pool.url, file);
    assert.equal(status, 202, code);
    return { ...file, key };
  };

  it('takes a submission of several tensors from received to paid, and every unit is accounted for', async () => {
    const pool = await start();
    const before = await pool.model();
    const worker = await pool.attach();
    const key = newKeyPair();
    const tensors = { [SMALL_TENSOR]: 0.5, 'transformer.ln_f.weight': 0.25, 'transformer.h.0.ln_1.bias': 3 };
    const file = fileOf(before, { key, tensors });
    assert.equal((await post(pool.url, file)).status, 202);
    const view = await pool.reaches(file.id, 'paid', 'rejected');
    assert.equal(view.state, 'paid', JSON.stringify(view.error));
    assert.deepEqual(
      view.history.map(({ state }) => state),
      SUBMISSION_STATES.filter((state) => state !== 'rejected'),
    );
    assert.deepEqual(view.blocks, { first: before.head.index + 1, last: before.head.index + 3 });
    assert.equal(view.reward, ((REWARD * 6n) / 10n).toString());
    const { address: judge } = await worker.next('welcome');
    const { verdict, cost } = view;
    assert.ok(verdict && cost);
    assert.deepEqual(
      [verdict.stop, verdict.windows, verdict.attestations, verdict.outvoted, verdict.trusted],
      ['clear', 16, [{ worker: judge, backend: 'none', windows: 16 }], [], null],
    );
    assert.deepEqual(
      verdict.differences?.map(([, gain]) => gain),
      Array(16).fill(100_000),
    );
    assert.equal(new Set(verdict.differences?.map(([window]) => window)).size, 16);
    assert.deepEqual(verdict.interval_nats, [0.1, 0.1]);
    assert.deepEqual(cost, { evaluations: 1, tokens: 32, saved_by_looks: 2 * 112 * 16, saved_by_trust: 0 });
    assert.equal((await pool.model()).head.index, before.head.index + 3);
    const balance = async (address: string) =>
      BigInt(((await pool.get(`/balance/${address}`)).body as { balance: string }).balance);
    // Three tenths of it vest.
    assert.equal(await balance(view.miner), (((REWARD * 6n) / 10n) * 7n) / 10n);
    const journal = (await pool.get('/journal')).body as { minted: string; entries: string[] };
    assert.equal(BigInt(journal.minted), REWARD);
    // The head's own loss is measured afterwards.
    await until('the head is measured', async () => (await pool.model()).validation_loss_nats !== null);
    // The same content again is the same submission, and pays nothing.
    const again = await post(pool.url, file);
    assert.equal(again.status, 200);
    assert.equal((await pool.model()).head.index, before.head.index + 3);
    // The second reward counts the work of the first.
    const second = await submit(pool, 0.75);
    await pool.reaches(second.id, 'paid');
    const { address } = await worker.next('welcome');
    assert.equal(await balance(address), (REWARD * 35n) / 100n);
    assert.deepEqual(pool.faults(), []);
  });

  it('refuses what the gate does not pass, and what is not finite', async () => {
    const pool = await start();
    let gain = 0;
    let infinite = false;
    await pool.attach({
      losses: (lease: EvaluateLease) => {
        const losses = better(gain)(lease);
        return infinite && lease.changed.length > 0
          ? { ...losses, candidate: losses.candidate.map(() => null) }
          : losses;
      },
    });
    const same = await submit(pool, 1);
    const refused = await pool.reaches(same.id, 'rejected', 'paid');
    assert.equal(refused.error?.code, 'GATE_NOT_BETTER');
    assert.equal(refused.verdict?.passed, false);
    gain = 100_000;
    infinite = true;
    const wild = await submit(pool, 2);
    assert.equal((await pool.reaches(wild.id, 'rejected', 'paid')).error?.code, 'LOSS_NOT_FINITE');
    assert.equal((await pool.model()).head.index, 15);
  });

  it('judges again on the new head whoever waited, and refuses bytes that are on the chain by then', async () => {
    const pool = await start();
    const held: EvaluateLease[] = [];
    const worker = await pool.attach({
      roles: ['evaluate'],
      onEvaluate: (self, lease) => {
        if (lease.changed.length > 0) held.push(lease);
        else self.evaluated(lease);
        self.send({ type: 'ready', role: 'evaluate' });
      },
    });
    const first = await submit(pool, 1);
    // Of the same key: another's would have been refused at once.
    const tensors = { [SMALL_TENSOR]: 1.125, 'transformer.ln_f.weight': 0.25 };
    const copy = fileOf(await pool.model(), { key: first.key, tensors });
    assert.equal((await post(pool.url, copy)).status, 202);
    const other = await submit(pool, 2);
    await worker.until(() => held.length === 3);
    for (const lease of held.splice(0)) worker.evaluated(lease);
    for (const { id } of [copy, other]) await pool.reaches(id, 'evaluated');
    await pool.attach({ roles: ['mine'] });
    await pool.reaches(first.id, 'paid');
    assert.equal((await pool.reaches(copy.id, 'rejected', 'paid')).error?.code, 'PAYLOAD_KNOWN');
    await worker.until(() => held.length === 1);
    const [again] = held as [EvaluateLease];
    assert.equal(again.submission, other.id);
    assert.equal(again.head, (await pool.model()).head.hash);
    worker.evaluated(again);
    await pool.reaches(other.id, 'paid');
    assert.deepEqual(pool.faults(), []);
  });

  it('refuses a near-copy of another key: what it gains is only what the head has by then', async () => {
    const pool = await start();
    const levels = new Map<string, number>();
    let noise = 0;
    await pool.attach({
      losses: ({ windows, changed, model, candidateRoot }: EvaluateLease) => {
        const base = levels.get(model.root) ?? 5_000_000;
        // All candidates are the same change, and a little of their own.
        const found = changed.length === 0 ? base : (levels.get(candidateRoot) ?? 4_900_000 + 3 * noise++);
        levels.set(candidateRoot, found);
        return { base: windows.map(() => base), candidate: windows.map(() => found) };
      },
    });
    const first = await submit(pool, 1);
    const copy = await submit(pool, 1.001);
    await pool.reaches(first.id, 'paid');
    const refused = await pool.reaches(copy.id, 'paid', 'rejected');
    assert.equal(refused.error?.code, 'GATE_NOT_BETTER');
    assert.equal(refused.reward, undefined);
    const journal = (await pool.get('/journal')).body as { minted: string };
    assert.equal(BigInt(journal.minted), REWARD);
  });

  it('goes on from every state after a restart, and pays once', async () => {
    const pool = await start();
    const queued = await submit(pool, 1);
    await pool.restart();
    assert.equal((await pool.submission(queued.id)).state, 'queued');
    const silent = { roles: ['evaluate'] as const, onEvaluate: () => undefined };
    await pool.attach(silent);
    await pool.reaches(queued.id, 'evaluating');
    await pool.restart();
    const worker = await pool.attach({ roles: ['evaluate'] });
    await pool.reaches(queued.id, 'mining');
    await pool.restart();
    await pool.reaches(queued.id, 'mining');
    assert.ok(worker.closed);
    await pool.attach();
    await pool.reaches(queued.id, 'paid');
    await pool.restart();
    const journal = (await pool.get('/journal')).body as { minted: string };
    assert.equal(BigInt(journal.minted), REWARD);
    assert.equal((await pool.submission(queued.id)).state, 'paid');
  });
});
