import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import {
  type EntryProof,
  entryProofSchema,
  type TensorProof,
  tensorProofSchema,
} from '#shared/api/proof-schemas.ts';
import { verifyProof } from '#shared/block/verify-proof.ts';
import { fromHex, toHex } from '#shared/crypto/bytes.ts';
import { aiblock } from '#test/helpers/child.ts';
import { SMALL_TENSOR } from '#test/helpers/small-genesis.ts';
import { tempDir } from '#test/helpers/temp-dir.ts';
import { TestCoordinator } from '#test/helpers/test-coordinator.ts';
import { skipWithout } from '#test/helpers/tools.ts';

const dir = await tempDir();

describe('proofs of a running pool', { skip: skipWithout('redis-server') }, () => {
  let pool: TestCoordinator;
  /** B heights and hashes of the seals, genesis first. */
  const seals: { height: number; hash: string }[] = [];

  before(async () => {
    pool = await TestCoordinator.start();
    await pool.attach();
    const note = async () => {
      const { head } = await pool.model();
      seals.push({ height: head.index, hash: head.hash });
    };
    await note();
    for (const value of [0.5, 0.25, 0.125]) {
      await pool.commitWhole(value);
      await note();
    }
  });
  after(() => pool.destroy());

  const code = async (path: string) => {
    const { status, body } = await pool.get(path);
    return [status, (body as { error: { code: string } }).error.code];
  };

  it('prove every sealed entry by every seal behind it', async () => {
    const { entries } = (await pool.get('/journal?limit=500')).body as { entries: string[] };
    const proved = new Map<number, number>();
    for (const { height, hash } of seals) {
      for (const [seq, bytes] of entries.entries()) {
        const { status, body } = await pool.get(`/proof/entry/${seq}?height=${height}`);
        if (status === 404) continue;
        const proof: EntryProof = entryProofSchema.parse(body);
        assert.equal(proof.entry, bytes);
        const proven = verifyProof(proof, fromHex(hash, 32));
        assert.ok(proven.what === 'entry' && proven.entry.seq === seq);
        proved.set(height, (proved.get(height) ?? 0) + 1);
      }
    }
    // Each reward is sealed by the next submission.
    const [, , second, third] = seals.map(({ height }) => proved.get(height) ?? 0);
    assert.ok((second as number) >= 4 && (third as number) > (second as number), JSON.stringify([...proved]));
    assert.ok((third as number) < entries.length);
    assert.deepEqual(
      await pool.get('/proof/entry/0').then(({ body }) => body),
      (await pool.get(`/proof/entry/0?height=${seals[3]?.height}`)).body,
    );
  });

  it('prove every tensor by the newest seal', async () => {
    const model = await pool.model();
    for (const { name, hash } of model.tensors) {
      const proof: TensorProof = tensorProofSchema.parse((await pool.get(`/proof/tensor/${name}`)).body);
      const proven = verifyProof(proof, fromHex(model.head.hash, 32));
      assert.ok(proven.what === 'tensor');
      assert.deepEqual([toHex(proven.tensor.payloadHash), toHex(proven.root)], [hash, model.root]);
    }
  });

  it('NOT_FOUND, BAD_REQUEST: what no seal proves', async () => {
    const [, first] = seals as [unknown, { height: number }];
    for (const path of [
      '/proof/entry/9999',
      `/proof/entry/0?height=${first.height}`,
      `/proof/entry/0?height=${first.height - 1}`,
      '/proof/entry/0?height=9999',
      '/proof/tensor/__proto__',
      '/proof/tensor/%00',
    ])
      assert.deepEqual(await code(path), [404, 'NOT_FOUND'], path);
    for (const path of [
      '/proof/entry/-1',
      '/proof/entry/1e3',
      '/proof/entry/0?height=x',
      '/proof/entry/0?heigth=1',
    ])
      assert.deepEqual(await code(path), [400, 'BAD_REQUEST'], path);
  });

  it('are printed by `aiblock proof` and checked by `aiblock verify --proof`, with no pool', async () => {
    const [entry, tensor] = [join(dir, 'entry.json'), join(dir, 'tensor.json')];
    const from = ['--coordinator', pool.url];
    const { hash } = seals.at(-1) as { hash: string };
    for (const [file, args] of [
      [entry, ['2']],
      [tensor, ['--tensor', SMALL_TENSOR]],
    ] as const) {
      const { code, stdout, stderr } = await aiblock(['proof', ...args, ...from]);
      assert.equal(code, 0, stderr);
      await writeFile(file, stdout);
    }
    const nowhere = { AIBLOCK_COORDINATOR: 'http://127.0.0.1:9', AIBLOCK_DATA_DIR: dir };
    const trusted = await aiblock(['verify', '--proof', entry, '--hash', hash], nowhere);
    assert.equal(trusted.code, 0, trusted.stderr);
    assert.match(trusted.stdout, /whose hash is the one you trust/);
    assert.match(trusted.stdout, /^ {2}kind +reward-/m);
    const compared = await aiblock(['verify', '--proof', tensor], nowhere);
    assert.match(compared.stdout, new RegExp(`compare it.*\\n +${hash}\\n`));
    const json = JSON.parse((await aiblock(['verify', '--proof', tensor, '--json'], nowhere)).stdout);
    assert.deepEqual([json.ok, json.tensor.name, json.block.hash], [true, SMALL_TENSOR, hash]);

    const wrong: [string[], number, RegExp][] = [
      [['verify', '--proof', entry, '--hash', '0'.repeat(64)], 1, /^error BLOCK_HASH: /],
      [['verify', '--proof', join(dir, 'none.json')], 2, /^error OPTION: /],
      [['verify', '--proof', dir], 2, /^error OPTION: /],
      [['verify', '--hash', hash], 2, /^error OPTION: .*--proof/],
      [['verify', '--proof', entry, '--hash', 'x'], 2, /^error OPTION: /],
      [['proof'], 2, /^error OPTION: /],
      [['proof', '1', '--tensor', 'x'], 2, /^error OPTION: /],
      [['proof', '99999', ...from], 1, /^error NOT_FOUND: /],
    ];
    for (const [args, status, expected] of wrong) {
      const { code, stderr } = await aiblock(args, nowhere);
      assert.equal(code, status, args.join(' '));
      assert.match(stderr, expected);
    }
  });
});
