import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { Chain } from '#coordinator/chain/chain.ts';
import { UNSAFE_DEV_GOVERNOR, UNSAFE_DEV_POOL } from '#coordinator/chain/genesis/dev-keys.ts';
import { GovernStage } from '#coordinator/govern/govern.ts';
import { newKeyPair } from '#coordinator/store/key-files.ts';
import { PayloadStore } from '#coordinator/store/payload-store.ts';
import { openRocksKv } from '#coordinator/store/rocks-kv.ts';
import { WriteLock } from '#coordinator/store/write-lock.ts';
import { metaSchema } from '#shared/api/schemas.ts';
import type { Manifest } from '#shared/block/manifest.ts';
import type { MetaProposal } from '#shared/block/meta-proposal.ts';
import { merkleRoot } from '#shared/crypto/merkle.ts';
import { bitsFromTarget, MAX_TARGET } from '#shared/pow/target.ts';
import { auditCoordinator } from '#test/helpers/audit-coordinator.ts';
import { proposalFor, propose } from '#test/helpers/proposal.ts';
import { fileOf, post, SMALL_TENSOR, smallContent } from '#test/helpers/small-genesis.ts';
import { TestCoordinator } from '#test/helpers/test-coordinator.ts';
import { skipWithout } from '#test/helpers/tools.ts';
import { until } from '#test/helpers/until.ts';

const gentler = ({ gate, pow }: Manifest): Partial<Manifest> => ({
  gate: { ...gate, delta_micro_nats: 1_000 },
  pow: { bits: bitsFromTarget(MAX_TARGET >> 2n) },
  rules: [{ name: 'candour', text: pow ? 'Say what you do not know.' : '' }],
});

describe('a governed pool', { skip: skipWithout('redis-server') }, () => {
  const running: TestCoordinator[] = [];
  const start = async () => {
    const pool = await TestCoordinator.start();
    running.push(pool);
    return pool;
  };
  after(async () => {
    for (const pool of running) await pool.destroy();
  });

  const submit = async (pool: TestCoordinator, value: number, meta?: string) => {
    const tensors = { [SMALL_TENSOR]: value + 0.125 };
    const file = fileOf(await pool.model(), { key: newKeyPair(), tensors, ...(meta ? { meta } : {}) });
    return { ...file, ...(await post(pool.url, file)) };
  };
  const audit = ({ url }: TestCoordinator) => auditCoordinator(url);

  it('changes its rules, goes on under them, and is whole for an auditor, also after a restart', async () => {
    const pool = await start();
    await pool.attach();
    const first = await submit(pool, 1);
    await pool.reaches(first.id, 'paid');
    const before = await pool.model();
    const proposal = await proposalFor(pool.url, gentler);
    const made = await propose(pool.url, proposal);
    assert.equal(made.status, 201, made.code);
    const view = metaSchema.parse(made.body);
    assert.deepEqual([view.index, view.prev_hash, view.points_to], [1, before.meta.hash, before.head.hash]);
    assert.deepEqual(view.signed_by, [UNSAFE_DEV_GOVERNOR.address]);
    assert.deepEqual((await pool.get('/meta')).body, view);
    assert.equal(metaSchema.parse((await pool.get('/meta/0')).body).index, 0);
    assert.equal((await pool.get('/meta/2')).status, 404);
    assert.equal((await propose(pool.url, proposal)).status, 200, 'the same again is the same block');

    const late = await submit(pool, 2, before.meta.hash);
    assert.deepEqual([late.status, late.code], [409, 'SUBMISSION_META']);
    const second = await submit(pool, 2);
    await pool.reaches(second.id, 'paid');
    await pool.restart();
    await pool.attach();
    assert.equal((await pool.model()).meta.hash, view.hash);

    // Other governors and another pool key: the old ones sign, and are done with it.
    const successor = newKeyPair();
    const rotate = () => ({
      governors: { threshold: 1, keys: [successor.publicKey] },
      pool_key: successor.publicKey,
    });
    assert.equal((await propose(pool.url, await proposalFor(pool.url, rotate))).status, 201);
    const old = await proposalFor(pool.url, () => ({ name: 'the old governors' }));
    assert.equal((await propose(pool.url, old)).code, 'SIGNATURE');
    const third = await submit(pool, 3);
    await pool.reaches(third.id, 'paid');
    const paid = (await pool.get(`/balance/${successor.address}`)).body as { balance: string };
    assert.ok(BigInt(paid.balance) > 0n, 'the new pool key is paid');
    const renamed = await proposalFor(pool.url, () => ({ name: 'renamed' }), { signers: [successor] });
    assert.equal((await propose(pool.url, renamed)).status, 201);
    const { height, name } = await audit(pool);
    assert.deepEqual([height.A, name], [3, 'renamed']);
    assert.deepEqual(pool.faults(), []);
  });

  it('refuses by its code what cannot stand, and changes nothing', async () => {
    const pool = await start();
    const before = (await pool.get('/meta')).body;
    const zero = new Uint8Array(32);
    const refused: [string, MetaProposal | Uint8Array][] = [
      ['SIGNATURE', await proposalFor(pool.url, gentler, { signers: [] })],
      ['SIGNATURE', await proposalFor(pool.url, gentler, { signers: [UNSAFE_DEV_POOL, newKeyPair()] })],
      ['BLOCK_LINK', await proposalFor(pool.url, gentler, { forged: { network: zero } })],
      ['BLOCK_LINK', await proposalFor(pool.url, gentler, { forged: { prev: zero } })],
      ['BLOCK_LINK', await proposalFor(pool.url, gentler, { forged: { index: 2 } })],
      ['META_CHANGE', await proposalFor(pool.url, () => ({ tokenizer: '{}' }))],
      ['META_CHANGE', await proposalFor(pool.url, ({ config }) => ({ config: `${config} ` }))],
      [
        'BLOCK_PAYLOAD',
        await proposalFor(pool.url, ({ validation }) => ({ validation: { ...validation, root: zero } })),
      ],
      [
        'BLOCK_PAYLOAD',
        await proposalFor(pool.url, ({ validation }) => ({
          validation: { ...validation, held_out: { ...validation.held_out, root: zero } },
        })),
      ],
      ['BLOCK_ENCODING', await proposalFor(pool.url, gentler, { forged: { payload: zero } })],
      ['BLOCK_ENCODING', new Uint8Array(10)],
      ['BLOCK_ENCODING', new Uint8Array(0)],
    ];
    for (const [code, proposal] of refused) {
      const { status, code: got } = await propose(pool.url, proposal);
      assert.equal(got, code);
      assert.equal(status, 422);
    }
    const json = await propose(pool.url, new Uint8Array(1), 'application/json');
    assert.equal(json.code, 'UNSUPPORTED_MEDIA_TYPE');
    assert.deepEqual((await pool.get('/meta')).body, before);
    assert.deepEqual(pool.faults(), []);
  });

  it('SUBMISSION_META: what is evaluated or mined under the block before; it may be sent again', async () => {
    const pool = await start();
    const grinder = await pool.attach({ roles: ['mine'], onMine: () => undefined });
    const judge = await pool.attach({ roles: ['evaluate'] });
    const mined = await submit(pool, 1);
    await grinder.next('mine');
    await pool.reaches(mined.id, 'mining');
    await judge.close();
    const idle = await pool.attach({ roles: ['evaluate'], onEvaluate: () => undefined });
    const judged = await submit(pool, 2);
    const lease = await idle.next('evaluate', ({ submission }) => submission === judged.id);
    const made = await propose(pool.url, await proposalFor(pool.url, gentler));
    assert.equal(made.status, 201, made.code);
    for (const { id } of [mined, judged]) {
      const view = await pool.reaches(id, 'rejected');
      assert.equal(view.error?.code, 'SUBMISSION_META');
    }
    await grinder.next('cancel');
    await idle.next('cancel', ({ id }) => id === lease.lease);
    const { meta } = await pool.model();
    await until('workers are told of the new block', () =>
      idle.received.some((message) => message.type === 'head' && message.model.meta === meta.hash),
    );
    await pool.attach();
    await grinder.close();
    await idle.close();
    const again = await submit(pool, 1);
    assert.equal((await pool.reaches(again.id, 'paid', 'rejected')).state, 'paid');
    await audit(pool);
  });

  it('measures the head on a new validation set, and keeps new held-out shards', async () => {
    const pool = await start();
    const worker = await pool.attach();
    await until('the head is measured', async () => (await pool.model()).validation_loss_nats !== null);
    const { publicShards, heldOutShards } = smallContent();
    const [first, second, ...rest] = publicShards as [Uint8Array, Uint8Array, ...Uint8Array[]];
    const shards = [second, first, ...rest];
    const held = [...heldOutShards.slice(0, 1)];
    const proposal = await proposalFor(
      pool.url,
      ({ validation }) => ({
        validation: {
          ...validation,
          ...{ shards, root: merkleRoot(shards) },
          held_out: { ...validation.held_out, root: merkleRoot(held), windows: validation.shard_windows },
        },
      }),
      { forged: { held_out: held } },
    );
    const made = await propose(pool.url, proposal);
    assert.equal(made.status, 201, made.code);
    const { metaPayload } = (
      await worker.next(
        'evaluate',
        ({ model }) => model.metaPayload === metaSchema.parse(made.body).payload_hash,
      )
    ).model;
    assert.equal(metaPayload, (await pool.model()).meta.payload_hash);
    await until('it is measured again', async () => (await pool.model()).validation_loss_nats !== null);
    const next = await submit(pool, 1);
    await pool.reaches(next.id, 'paid');
    await audit(pool);
    assert.deepEqual(pool.faults(), []);
  });

  it('takes up a change that a crash cut off from what follows it', async () => {
    const pool = await start();
    const waiting = await submit(pool, 1);
    assert.equal(waiting.status, 202);
    const proposal = await proposalFor(pool.url, gentler);
    await pool.stop();
    const kv = await openRocksKv(join(pool.dataDir, 'store'));
    const payloads = new PayloadStore(kv);
    const govern = new GovernStage({
      ...{ kv, payloads, lock: new WriteLock(), now: Date.now },
      chain: await Chain.open(kv, payloads),
      poolKey: async () => UNSAFE_DEV_POOL,
      between: (change) => change(),
      onChanged: () => undefined,
    });
    await govern.commit(proposal);
    await kv.close();
    await pool.start();
    assert.equal((await pool.model()).meta.index, 1);
    assert.equal((await pool.submission(waiting.id)).error?.code, 'SUBMISSION_META');
    await audit(pool);
  });
});
