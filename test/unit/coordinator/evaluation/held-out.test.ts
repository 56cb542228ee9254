import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { newKeyPair } from '#coordinator/store/key-files.ts';
import { addressOf } from '#shared/crypto/keys.ts';
import { verifyHeldOut } from '#shared/pol/held-out-evidence.ts';
import { EvaluationPool, type Lease, StandIn } from '#test/helpers/evaluation-pool.ts';
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
const SUBMISSION = 'ab'.repeat(32);
const due = async (pool: EvaluationPool, miner = newKeyPair()) => {
  pool.truths.set(SUBMISSION, (window) => ({ base: 5_000_000 + window, candidate: 4_990_000 + window }));
  const check = pool.heldOut;
  check.add(SUBMISSION, miner.publicKey);
  const described = await check.describe(SUBMISSION);
  await pool.stage.recheck();
  return described;
};
const asked = ({ received }: StandIn) =>
  received.filter((m): m is Lease => m.type === 'evaluate' && m.heldOut !== undefined);

test('a quorum evaluates all windows without a gate, and what it signs is evidence', async () => {
  const pool = await open({ attestations: 2 });
  const workers = [new StandIn(), new StandIn()].map((worker) => pool.attach(worker));
  const described = await due(pool);
  const found = await until('it is found', () => pool.heldOut.results.get(SUBMISSION));
  assert.ok(described);
  const { networkId, meta } = pool.chain;
  const evidence = { attestations: found.attestations, quorum: meta.manifest.quorum };
  assert.ok(verifyHeldOut(networkId, described.target, evidence));
  assert.equal(found.tokens, 2 * 2 * 16 * 16);
  for (const worker of workers) {
    const [lease] = asked(worker);
    assert.deepEqual([lease?.rule, lease?.windows.length], [null, 16]);
    assert.equal(pool.reputations.of(worker.key.publicKey).agreements, 1);
  }
  assert.deepEqual(pool.faults, []);
});

test('who lies about held-out windows is outvoted, and the miner does not check its own', async () => {
  const pool = await open({ attestations: 2 });
  const miner = newKeyPair();
  const own = pool.attach(new StandIn({ owner: addressOf(miner.publicKey) }));
  const liar = pool.attach(
    new StandIn({ lie: ({ base }) => ({ base, candidate: base.map((loss) => loss - 500_000) }) }),
  );
  const honest = [new StandIn(), new StandIn()].map((worker) => pool.attach(worker));
  await due(pool, miner);
  const { attestations } = await until('it is found', () => pool.heldOut.results.get(SUBMISSION));
  assert.equal(asked(own).length, 0);
  const keys = honest.map(({ key }) => Buffer.from(key.publicKey).toString('hex')).sort();
  assert.deepEqual(attestations.map(({ worker }) => Buffer.from(worker).toString('hex')).sort(), keys);
  // By lot the two honest ones may have been enough.
  const { disagreements } = pool.reputations.of(liar.key.publicKey);
  assert.equal(disagreements, asked(liar).length);
});

test('losses that are not finite are results too, on either side', async () => {
  const pool = await open({ attestations: 2 });
  const none = () => ({
    lie: ({
      base,
      candidate,
    }: {
      base: readonly (number | null)[];
      candidate: readonly (number | null)[];
    }) => ({
      base: base.map((loss, i) => (i === 0 ? null : loss)) as number[],
      candidate: candidate.map((loss, i) => (i === 1 ? null : loss)),
    }),
  });
  for (let i = 0; i < 2; i++) pool.attach(new StandIn(none()));
  await due(pool);
  const { attestations } = await until('it is found', () => pool.heldOut.results.get(SUBMISSION));
  assert.deepEqual(
    attestations.map(({ base, candidate }) => [base[0], candidate[1]]),
    [
      [null, null],
      [null, null],
    ],
  );
});

test('ATTESTATION: fewer losses than there are windows', async () => {
  class Short extends StandIn {
    override result(lease: Lease) {
      const all = super.result(lease);
      return this.signed(lease, {
        base: all.base.slice(0, 8) as number[],
        candidate: all.candidate.slice(0, 8),
      });
    }
  }
  const pool = await open({ attestations: 1 });
  const short = pool.attach(new Short());
  await due(pool);
  await until('it is refused', () => short.refusals.includes('ATTESTATION'));
  assert.ok(pool.reputations.of(short.key.publicKey).disagreements > 0);
});

test('a check that no worker can do is given up for now, and the queue goes on', async () => {
  class Falling extends StandIn {
    override evaluate(lease: Lease): void {
      if (!lease.heldOut) return super.evaluate(lease);
      const error = { code: 'EVALUATION_CRASHED', message: 'out of memory', details: {} };
      this.send({ type: 'failed', lease: lease.lease, error });
    }
  }
  const pool = await open({ attestations: 2 });
  for (let i = 0; i < 3; i++) pool.attach(new Falling());
  await due(pool);
  await until('it is given up', () => pool.heldOut.failures.length > 0);
  const id = await pool.submit((window) => ({ base: 5_000_000 + window, candidate: 4_500_000 + window }));
  await until('a submission is judged', async () => (await pool.submissions.get(id))?.state === 'evaluated');
});
