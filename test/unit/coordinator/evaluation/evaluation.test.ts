import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { Reputations } from '#coordinator/dispatch/reputations.ts';
import { newKeyPair } from '#coordinator/store/key-files.ts';
import { addressOf } from '#shared/crypto/keys.ts';
import { verifyCertificate } from '#shared/pol/certificate.ts';
import { EvaluationPool, type Lease, StandIn, type Truth } from '#test/helpers/evaluation-pool.ts';
import { until } from '#test/helpers/until.ts';

const pools: EvaluationPool[] = [];
after(async () => {
  for (const pool of pools) await pool.close();
});
const open = async (...options: Parameters<typeof EvaluationPool.open>) => {
  const pool = await EvaluationPool.open(...options);
  pools.push(pool);
  return pool;
};

/** Losses that scatter from window to window, and gain so much on average. */
const gains =
  (gain: number): Truth =>
  (window) => ({
    base: 5_000_000 + ((window * 7919) % 1_000_000),
    candidate: 5_000_000 + ((window * 7919) % 1_000_000) - gain + (((window * 104_729) % 101) - 50) * 1_000,
  });
const GOOD = gains(150_000);
const BAD = gains(0);
const lying = (by: number) => ({
  lie: ({ base, candidate }: { base: readonly number[]; candidate: readonly (number | null)[] }) => ({
    base,
    candidate: candidate.map((loss) => (loss === null ? null : loss + by)),
  }),
});

test('two of two agree: a certificate that holds, at the look that decides, and its cost', async () => {
  const pool = await open({ attestations: 2 });
  const workers = [new StandIn(), new StandIn()].map((worker) => pool.attach(worker));
  const good = await pool.judge(GOOD);
  assert.equal(good.state, 'evaluated');
  const { verdict, cost } = good;
  assert.ok(verdict && cost);
  assert.deepEqual([verdict.stop, verdict.windows.length, verdict.attestations.length], ['clear', 16, 2]);
  const { sealed, meta, networkId } = pool.chain;
  const lease = workers[0]?.received.find((m): m is Lease => m.type === 'evaluate' && m.changed.length > 0);
  const judged = {
    submission: good.id,
    head: sealed.position.hash,
    height: sealed.position.index,
    salt: verdict.salt,
    baseRoot: sealed.root,
    candidateRoot: Uint8Array.from(Buffer.from(lease?.candidateRoot ?? '', 'hex')),
  };
  const certificate = { head: verdict.head, windows: verdict.windows, attestations: verdict.attestations };
  assert.ok(verifyCertificate(networkId, judged, { certificate, manifest: meta.manifest }).passed);
  assert.deepEqual(cost, {
    evaluations: 2,
    tokens: 2 * 2 * 16 * 16,
    savedByLooks: 2 * 2 * 112 * 16,
    savedByTrust: 0,
  });
  const bad = await pool.judge(BAD);
  assert.equal(bad.error?.code, 'GATE_NOT_BETTER');
  assert.equal(bad.verdict?.windows.length, 16, 'hopeless at the first look');
  for (const { key } of workers) assert.equal(pool.reputations.of(key.publicKey).consecutive, 2);
  assert.deepEqual(pool.faults, []);
});

test('nobody shows losses before all have committed', async () => {
  const pool = await open({ attestations: 2 });
  const first = pool.attach(new StandIn());
  const id = await pool.submit(GOOD);
  await until('the first has committed', () => first.jobs > 0);
  assert.ok(!first.received.some(({ type }) => type === 'reveal'));
  const second = pool.attach(new StandIn());
  await until('it is judged', async () => (await pool.submissions.get(id))?.state === 'evaluated');
  for (const { received } of [first, second]) assert.ok(received.some(({ type }) => type === 'reveal'));
});

test('a liar is outvoted: the committee widens, the truth stands, and after three lies he is out', async () => {
  const pool = await open({ attestations: 2 });
  const honest = [new StandIn(), new StandIn()].map((worker) => pool.attach(worker));
  const liar = pool.attach(new StandIn(lying(-400_000)));
  for (let i = 0; i < 40 && !liar.isOut; i++)
    assert.equal((await pool.judge(BAD)).error?.code, 'GATE_NOT_BETTER');
  assert.ok(liar.isOut);
  assert.ok(liar.jobs <= 20, `${liar.jobs} jobs`);
  assert.deepEqual(pool.accepted, []);
  for (const { key, isOut } of honest) {
    assert.ok(!isOut);
    assert.equal(pool.reputations.of(key.publicKey).disagreements, 0);
  }
  const again = await Reputations.open(pool.kv, Date.now);
  assert.ok(again.isOut(liar.key.publicKey), 'a restart forgives nothing');
  await assert.rejects(pool.workers.admit({ publicKey: liar.key.publicKey, name: '' }), {
    code: 'BANNED',
  });
});

test('a copied commitment cannot be opened under another key', async () => {
  class Copyist extends StandIn {
    override evaluate(lease: Lease): void {
      const { commitment, result } = others.get(lease.submission) ?? {};
      if (!commitment || !result) return super.evaluate(lease);
      copied.set(lease.lease, result);
      this.send({ type: 'committed', lease: lease.lease, commitment });
    }
    override reveal(lease: string): void {
      const result = copied.get(lease);
      if (result) this.send({ ...result, lease });
      else super.reveal(lease);
    }
  }
  /** Shows everybody everything. */
  class Careless extends StandIn {
    override commitment(lease: Lease, result: Parameters<StandIn['commitment']>[1]): string {
      const commitment = super.commitment(lease, result);
      others.set(lease.submission, { commitment, result });
      return commitment;
    }
  }
  const others = new Map<string, { commitment: string; result: ReturnType<StandIn['result']> }>();
  const copied = new Map<string, ReturnType<StandIn['result']>>();
  const pool = await open({ attestations: 2 });
  pool.attach(new Careless());
  const id = await pool.submit(BAD);
  await until('the careless one has committed', () => others.size > 0);
  const copyist = pool.attach(new Copyist());
  await until('the copy is refused', () => copyist.refusals.includes('ATTESTATION'));
  pool.attach(new StandIn());
  await until('it is judged', async () => (await pool.submissions.get(id))?.state === 'rejected');
  assert.ok(pool.reputations.of(copyist.key.publicKey).disagreements > 0);
});

test('nobody judges his own submission, nor twice for one owner', async () => {
  const pool = await open({ attestations: 2 });
  const miner = newKeyPair();
  const own = pool.attach(new StandIn({ owner: addressOf(miner.publicKey) }));
  const owner = addressOf(newKeyPair().publicKey);
  const twins = [new StandIn({ owner }), new StandIn({ owner })].map((worker) => pool.attach(worker));
  const id = await pool.submit(GOOD, miner);
  const judging = (worker: StandIn) =>
    worker.received.some((m) => m.type === 'evaluate' && m.changed.length > 0);
  await until('one of the twins has it', () => twins.some(judging));
  await new Promise((resolve) => setTimeout(resolve, 100));
  assert.equal(twins.filter(judging).length, 1);
  assert.ok(!judging(own));
  pool.attach(new StandIn());
  await until('it is judged', async () => (await pool.submissions.get(id))?.state === 'evaluated');
  assert.ok(!judging(own));
});

test('a silent worker is no refusal: another takes its seat, and it is out after five', async () => {
  class Silent extends StandIn {
    override evaluate(): void {}
  }
  const pool = await open({ attestations: 2 }, { leaseMs: 300 });
  const honest = [new StandIn(), new StandIn()].map((worker) => pool.attach(worker));
  const silent = pool.attach(new Silent());
  for (let i = 0; i < 40 && !silent.isOut; i++) assert.equal((await pool.judge(GOOD)).state, 'evaluated');
  assert.ok(silent.isOut);
  // One more where it had a seat when the fifth was counted.
  assert.ok(silent.jobs >= 5 && silent.jobs <= 8, `${silent.jobs} jobs`);
  assert.ok(honest.every(({ isOut }) => !isOut));
});

test('EVALUATION_CRASHED: a submission that takes down whoever evaluates it, after three workers; the queue goes on', async () => {
  class Falling extends StandIn {
    override evaluate(lease: Lease): void {
      if (lease.submission !== poison) return super.evaluate(lease);
      const error = { code: 'EVALUATION_CRASHED', message: 'out of memory', details: {} };
      this.send({ type: 'failed', lease: lease.lease, error });
    }
  }
  let poison = '';
  const pool = await open({ attestations: 2 });
  const miner = newKeyPair();
  const submitted = await pool.submit(GOOD, miner);
  poison = Buffer.from(submitted).toString('hex');
  const workers = Array.from({ length: 4 }, () => pool.attach(new Falling()));
  const record = await until('it is given up', async () => {
    const now = await pool.submissions.get(submitted);
    return now?.state === 'rejected' && now;
  });
  assert.equal(record.error?.code, 'EVALUATION_CRASHED');
  const tried = workers.filter(({ received }) =>
    received.some((m) => m.type === 'evaluate' && m.submission === poison),
  );
  // The fourth had its seat when the third failed.
  assert.ok(tried.length >= 3 && tried.length <= 4, `${tried.length} different ones`);
  assert.equal((await pool.judge(GOOD)).state, 'evaluated');
  for (const { key } of workers) assert.equal(pool.reputations.of(key.publicKey).timeouts, 0);
});

test('EVALUATION_CRASHED: workers of whom no two agree do not keep it for ever', async () => {
  const pool = await open({ attestations: 2 }, { leaseMs: 300 });
  const workers = [0, 400_000, -400_000].map((by) => pool.attach(new StandIn(lying(by))));
  const record = await pool.judge(BAD);
  assert.equal(record.error?.code, 'EVALUATION_CRASHED');
  assert.ok(workers.every(({ key }) => pool.reputations.of(key.publicKey).disagreements === 0));
  // Rounds that settled nothing cost what they cost.
  assert.ok((record.cost?.evaluations ?? 0) >= 6, `${record.cost?.evaluations} evaluations`);
  assert.equal(pool.tokens, record.cost?.tokens);
});

test('a submission that something else ends is evaluated no further, and the queue goes on', async () => {
  const pool = await open({ attestations: 2 });
  const worker = pool.attach(new StandIn());
  const id = await pool.submit(GOOD);
  await until('one has committed', () => worker.jobs > 0);
  await pool.submissions.move(id, 'rejected');
  pool.attach(new StandIn());
  assert.equal((await pool.judge(GOOD)).state, 'evaluated');
  assert.equal((await pool.submissions.get(id))?.state, 'rejected');
  assert.deepEqual(pool.faults, []);
});

test('LOSS_NOT_FINITE: agreed by two', async () => {
  const pool = await open({ attestations: 2 });
  for (let i = 0; i < 2; i++) pool.attach(new StandIn());
  const record = await pool.judge((window) => ({
    base: 5_000_000,
    candidate: window % 3 ? 4_000_000 : null,
  }));
  assert.equal(record.error?.code, 'LOSS_NOT_FINITE');
});

test('a trusted worker refuses alone, but for re-checks; it never accepts alone', async () => {
  const pool = await open({ attestations: 3, trusted_after: 10 });
  for (let i = 0; i < 3; i++) pool.attach(new StandIn());
  for (let i = 0; i < 10; i++) await pool.judge(BAD);
  const later = [];
  for (let i = 0; i < 20; i++) later.push(await pool.judge(BAD));
  const alone = later.filter(({ verdict }) => verdict?.trusted !== undefined);
  assert.ok(alone.length >= 10, `${alone.length} of 20 by one worker`);
  for (const { verdict, cost } of alone) {
    assert.equal(verdict?.attestations.length, 1);
    assert.equal(cost?.savedByTrust, 2 * 2 * 16 * 16);
  }
  const good = await pool.judge(GOOD);
  assert.equal(good.verdict?.attestations.length, 3);
  assert.equal(good.cost?.savedByTrust, 0);
});

test('a canary finds a worker that lies once it is trusted, and nobody can tell it from work', async () => {
  const pool = await open({ attestations: 2 }, { canaryOneIn: 1 });
  for (let i = 0; i < 2; i++) pool.attach(new StandIn());
  let lies = false;
  const sleeper = pool.attach(new StandIn({ lie: (found) => (lies ? lying(300_000).lie(found) : found) }));
  for (let i = 0; i < 6; i++) await pool.judge(BAD);
  await until('canaries were right', () => pool.outcomes.includes('canary-right'));
  lies = true;
  for (let i = 0; i < 40 && !sleeper.isOut; i++) await pool.judge(BAD);
  await until('it is out', () => sleeper.isOut);
  const leases = sleeper.received.filter((m) => m.type === 'evaluate');
  assert.equal(new Set(leases.map((m) => Object.keys(m).join())).size, 1);
});
