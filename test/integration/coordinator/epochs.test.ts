import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { newKeyPair } from '#coordinator/store/key-files.ts';
import { BUCKET, bucketKey } from '#coordinator/store/keys.ts';
import { del, put } from '#coordinator/store/kv.ts';
import { openRocksKv } from '#coordinator/store/rocks-kv.ts';
import { accountSchema, entriesSchema } from '#shared/api/account-schemas.ts';
import { workPageSchema } from '#shared/api/audit-schemas.ts';
import {
  type EpochDetail,
  type EpochView,
  epochDetailSchema,
  epochsSchema,
} from '#shared/api/epoch-schemas.ts';
import { payoutSchema } from '#shared/api/reward-schemas.ts';
import { decodeUnit, encodeUnit, type WorkUnit } from '#shared/block/work-log.ts';
import { fromHex, toHex } from '#shared/crypto/bytes.ts';
import { merkleRoot, verifyMerklePath } from '#shared/crypto/merkle.ts';
import { heldOutWorkRef } from '#shared/reward/evaluation-credit.ts';
import { auditCoordinator } from '#test/helpers/audit-coordinator.ts';
import { aiblock } from '#test/helpers/child.ts';
import { better, type EvaluateLease } from '#test/helpers/fake-worker.ts';
import { proposalFor, propose } from '#test/helpers/proposal.ts';
import { fileOf, post, SMALL_TENSOR, smallContent } from '#test/helpers/small-genesis.ts';
import { TestCoordinator } from '#test/helpers/test-coordinator.ts';
import { skipWithout } from '#test/helpers/tools.ts';
import { until } from '#test/helpers/until.ts';
import { auditLedger } from '#worker/audit/ledger-audit.ts';
import { SILENT } from '#worker/audit/progress.ts';
import { type AuditSource, HttpSource } from '#worker/audit/source.ts';
import { ApiClient } from '#worker/client/api-client.ts';

/** Three held-out shards: an epoch of two, and one of the last. */
const RULES = { epoch: { seals: 2, shards: 2 } };

describe('epochs', { skip: skipWithout('redis-server') }, () => {
  const running: TestCoordinator[] = [];
  const start = async (rules = RULES) => {
    const pool = await TestCoordinator.start({}, smallContent(), rules);
    running.push(pool);
    return pool;
  };
  after(async () => {
    for (const pool of running) await pool.destroy();
  });
  const seal = async (pool: TestCoordinator, value: number) => {
    const key = newKeyPair();
    const file = fileOf(await pool.model(), { key, tensors: { [SMALL_TENSOR]: value + 0.125 } });
    assert.equal((await post(pool.url, file)).status, 202);
    await pool.reaches(file.id, 'paid');
    return { id: file.id, key };
  };
  const account = async (pool: TestCoordinator, address: string) => {
    const view = accountSchema.parse((await pool.get(`/accounts/${address}`)).body);
    const { entries } = entriesSchema.parse((await pool.get(`/accounts/${address}/entries`)).body);
    const reward = entries.find(({ kind }) => kind === 'reward-submitter')?.amount ?? '0';
    return { balance: BigInt(view.balance), vesting: BigInt(view.vesting), reward: BigInt(reward) };
  };
  const epochs = async (pool: TestCoordinator): Promise<EpochView[]> =>
    epochsSchema.parse((await pool.get('/epochs')).body).epochs;
  const epoch = async (pool: TestCoordinator, number: number): Promise<EpochDetail> =>
    epochDetailSchema.parse((await pool.get(`/epochs/${number}`)).body);
  const settled = (pool: TestCoordinator, number: number) =>
    until(`epoch ${number} is settled`, async () => {
      const found = (await epochs(pool))[number];
      return found?.state === 'settled' && found;
    });
  /** Gains everywhere, but for what the submissions in `tuned` lose on text that nobody had seen. */
  const judging = (tuned: Set<string>) => (lease: EvaluateLease) => {
    const found = better(100_000)(lease);
    const isGone = lease.heldOut !== undefined && tuned.has(lease.submission);
    return isGone ? { base: found.base, candidate: found.base.map((loss) => loss + 1_000) } : found;
  };

  it('shows shards at the end alone, and says what held on them and what did not', async () => {
    const pool = await start();
    const tuned = new Set<string>();
    await pool.attach({ losses: judging(tuned) });
    const [shard] = smallContent().heldOutShards;
    const secret = toHex(await sha256(shard as Uint8Array));
    const first = await seal(pool, 1);
    const open = await until('it is counted', async () => (await epochs(pool))[0]);
    assert.deepEqual([open.state, open.submissions.length], ['open', 1]);
    assert.deepEqual((await pool.submission(first.id)).held_out, { epoch: 0, held: null });
    const { address } = first.key;
    const parts = await account(pool, address);
    assert.equal(parts.vesting, (parts.reward * 3n) / 10n);
    assert.equal(parts.balance, parts.reward - parts.vesting);
    assert.equal((await pool.get(`/payload/${secret}`)).status, 404);
    assert.deepEqual((await epoch(pool, 0)).revealed, []);
    const tunedKey = newKeyPair();
    const file = fileOf(await pool.model(), { key: tunedKey, tensors: { [SMALL_TENSOR]: 2.125 } });
    tuned.add(file.id);
    assert.equal((await post(pool.url, file)).status, 202);
    const done = await settled(pool, 0);
    assert.deepEqual(
      done.submissions.map(({ submission, held }) => [submission, held]),
      [
        [first.id, true],
        [file.id, false],
      ],
    );
    assert.deepEqual((await pool.submission(first.id)).held_out, { epoch: 0, held: true });
    assert.deepEqual((await pool.submission(file.id)).held_out, { epoch: 0, held: false });
    const released = await account(pool, address);
    assert.deepEqual([released.balance, released.vesting], [parts.reward, 0n]);
    const forfeited = await account(pool, tunedKey.address);
    assert.equal(forfeited.vesting, 0n);
    assert.equal(forfeited.balance, forfeited.reward - (forfeited.reward * 3n) / 10n);
    const totals = (await pool.get('/journal')).body as { burned: string };
    assert.equal(BigInt(totals.burned), (forfeited.reward * 3n) / 10n);
    const { root, revealed, windows, results } = await epoch(pool, 0);
    assert.deepEqual(windows, { first: 0, count: 32 });
    for (const { index, hash, path } of revealed) {
      const response = await fetch(new URL(`/payload/${hash}`, pool.url));
      const leaf = new Uint8Array(await response.arrayBuffer());
      const claim = { leaf, index, size: 3, path: path.map((node) => fromHex(node, 32)) };
      assert.ok(verifyMerklePath(fromHex(root, 32), claim));
    }
    assert.equal(revealed[0]?.hash, secret);
    assert.deepEqual(
      results.map(({ attestations }) => attestations.map(({ base }) => base.length)),
      [[32], [32]],
    );
    // Whoever evaluated on them is credited, held or not, at the price of any other window.
    const network = fromHex((await pool.model()).network, 32);
    const page = workPageSchema.parse((await pool.get('/work-units/evaluation')).body);
    const units = page.units.map((unit) => decodeUnit(fromHex(unit, unit.length / 2)));
    const creditOf = (ref: Uint8Array) => units.filter((unit) => toHex(unit.ref) === toHex(ref));
    for (const id of [first.id, file.id]) {
      const [[judged], [checked]] = [
        creditOf(fromHex(id, 32)),
        creditOf(heldOutWorkRef(network, fromHex(id, 32))),
      ];
      const ofOne = (checked?.credit ?? 0n) / 32n;
      assert.ok(judged && ofOne > 0n && judged.credit % ofOne === 0n);
      assert.deepEqual([checked?.worker, checked?.address], [judged.worker, judged.address]);
    }
    assert.equal(units.length, 4);
    // What was forfeited comes back with the next reward, and all of it can be computed anew.
    const next = await seal(pool, 3);
    const { terms } = payoutSchema.parse((await pool.get(`/pool/payouts/${next.id}`)).body);
    assert.equal(BigInt(terms.forfeited), (forfeited.reward * 3n) / 10n);
    assert.equal(BigInt(terms.reward), BigInt(terms.fresh) + BigInt(terms.forfeited));
    const audited = await aiblock(['ledger', 'audit', '--coordinator', pool.url]);
    assert.equal(audited.code, 0, audited.stdout + audited.stderr);
    await creditIsAudited(pool);
    assert.deepEqual(pool.faults(), []);
  });

  /** What a pool could show so that held-out work is credited that was not done, or not then. */
  async function creditIsAudited(pool: TestCoordinator): Promise<void> {
    const { signal } = new AbortController();
    const honest = new HttpSource(new ApiClient(pool.url), signal);
    const findingWith = async (shown: Partial<AuditSource>) => {
      const source: AuditSource = new Proxy(honest, {
        get: (target, name) => {
          const value: unknown = Reflect.get(name in shown ? shown : target, name, target);
          return typeof value === 'function' ? value.bind(target) : value;
        },
      });
      const report = await auditLedger({ source, progress: SILENT, signal, now: Date.now });
      return report.finding && [report.finding.at, report.finding.code];
    };
    const epochWith = (change: (detail: EpochDetail) => EpochDetail) =>
      findingWith({ epoch: async (number) => change(await honest.epoch(number)) });
    const unitsWith = (change: (unit: WorkUnit) => Partial<WorkUnit>) =>
      findingWith({
        workUnits: async (kind, from) =>
          (await honest.workUnits(kind, from)).map((bytes) => {
            const unit = decodeUnit(bytes);
            return encodeUnit({ ...unit, ...change(unit) });
          }),
      });
    const network = fromHex((await pool.model()).network, 32);
    const [epochOne] = await epochs(pool);
    const checks = (epochOne?.submissions ?? []).map(({ submission }) =>
      toHex(heldOutWorkRef(network, fromHex(submission, 32))),
    );
    const isCheck = ({ ref }: WorkUnit) => checks.includes(toHex(ref));
    assert.equal(await findingWith({}), undefined);
    assert.deepEqual(await epochWith((detail) => ({ ...detail, state: 'over' })), [
      'epoch 0',
      'BLOCK_CERTIFICATE',
    ]);
    const unsigned = (detail: EpochDetail): EpochDetail => ({
      ...detail,
      results: detail.results.map((result) => ({
        ...result,
        attestations: result.attestations.map((one) => ({ ...one, signature: '11'.repeat(64) })),
      })),
    });
    assert.deepEqual(await epochWith(unsigned), ['epoch 0', 'BLOCK_CERTIFICATE']);
    const none = await epochWith((detail) => ({ ...detail, results: [] }));
    assert.equal(none?.[1], 'JOURNAL');
    const more = await unitsWith((unit) => (isCheck(unit) ? { credit: unit.credit + 1n } : {}));
    assert.match(String(more), /^evaluation unit 2,JOURNAL$/);
    const other = await unitsWith((unit) => (isCheck(unit) ? { worker: newKeyPair().publicKey } : {}));
    assert.match(String(other), /^evaluation unit 2,JOURNAL$/);
    const early = await unitsWith(({ seq, ref }) =>
      seq === 1 ? { ref: fromHex(checks[0] as string, 32) } : { ref },
    );
    assert.match(String(early), /^evaluation unit 1,JOURNAL$/);
  }

  it('goes on after a restart, gives the last epoch what is left, and then has no more', async () => {
    const pool = await start();
    const quiet = await pool.attach({
      onEvaluate: (worker, lease) => {
        if (lease.heldOut === undefined) worker.evaluated(lease);
        worker.send({ type: 'ready', role: 'evaluate' });
      },
    });
    for (const value of [1, 2]) await seal(pool, value);
    await quiet.next('evaluate', ({ heldOut }) => heldOut !== undefined);
    assert.equal((await epochs(pool))[0]?.state, 'revealed');
    await pool.restart();
    assert.equal((await epochs(pool))[0]?.state, 'revealed');
    await pool.attach();
    await settled(pool, 0);
    for (const value of [3, 4]) await seal(pool, value);
    assert.equal((await settled(pool, 1)).shards, 1);
    assert.deepEqual((await epoch(pool, 1)).windows, { first: 32, count: 10 });
    const last = await seal(pool, 5);
    const unchecked = await until('it is released at once', async () => {
      const found = await account(pool, last.key.address);
      return found.vesting === 0n && found;
    });
    assert.equal(unchecked.balance, unchecked.reward);
    assert.equal((await epochs(pool)).length, 2);
    assert.equal((await pool.get('/epochs/2')).status, 404);
    assert.equal((await pool.get('/epochs/x')).status, 400);
    assert.deepEqual(pool.faults(), []);
  });

  it('STORE_CORRUPT: without its shards an epoch waits, the chain does not, and nothing is forfeited', async () => {
    const pool = await start({ epoch: { seals: 1, shards: 1 } });
    const { dataDir } = pool;
    const key = bucketKey(BUCKET.heldOutShard, 2);
    const change = async (value: Uint8Array | undefined) => {
      await pool.stop();
      const kv = await openRocksKv(join(dataDir, 'store'));
      const before = await kv.get(key);
      await kv.batch([value ? put(key, value) : del(key)], { durable: true });
      await kv.close();
      await pool.start();
      await pool.attach();
      return before;
    };
    const shard = await change(undefined);
    const first = await seal(pool, 1);
    await seal(pool, 2);
    await until('both are over', async () => {
      const states = (await epochs(pool)).map(({ state }) => state);
      return states.length === 2 && states.every((state) => state === 'over');
    });
    assert.ok(pool.faults().some(({ err }) => err?.code === 'STORE_CORRUPT'));
    const { vesting, reward } = await account(pool, first.key.address);
    assert.equal(vesting, (reward * 3n) / 10n);
    await change(shard);
    for (const number of [0, 1]) await settled(pool, number);
    assert.equal((await account(pool, first.key.address)).balance, reward);
  });

  it('ends an epoch where other held-out text is named, on the shards of the one before', async () => {
    const pool = await start({ epoch: { seals: 3, shards: 1 } });
    await pool.attach();
    const before = await pool.model();
    await seal(pool, 1);
    const [, ...others] = smallContent().heldOutShards;
    const root = merkleRoot(others);
    const proposal = await proposalFor(
      pool.url,
      ({ validation }) => ({
        validation: { ...validation, held_out: { ...validation.held_out, root, windows: 26 } },
      }),
      { forged: { held_out: others } },
    );
    const { status, code } = await propose(pool.url, proposal);
    assert.equal(status, 201, code);
    const first = await settled(pool, 0);
    assert.deepEqual([first.seals, first.submissions.length], [3, 1]);
    for (const value of [2, 3, 4]) await seal(pool, value);
    const second = await settled(pool, 1);
    assert.deepEqual([second.root, second.first_shard], [toHex(root), 0]);
    assert.equal((await epoch(pool, 1)).revealed[0]?.hash, toHex(await sha256(others[0] as Uint8Array)));
    assert.notEqual((await pool.model()).meta.hash, before.meta.hash);
    const { checks } = await auditCoordinator(pool.url);
    assert.deepEqual(
      checks.filter(({ what }) => what === 'epochs' || what === 'vested parts').map(({ count }) => count),
      [2, 4],
    );
    assert.deepEqual(pool.faults(), []);
  });
});

async function sha256(bytes: Uint8Array): Promise<Uint8Array> {
  return new Uint8Array(await crypto.subtle.digest('SHA-256', bytes as Uint8Array<ArrayBuffer>));
}
