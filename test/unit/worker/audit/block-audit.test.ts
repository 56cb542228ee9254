import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { toHex } from '#shared/crypto/bytes.ts';
import { bodyAt, CHAIN, changed, forge } from '#test/helpers/forge.ts';
import {
  accounts,
  movesOf,
  relinked,
  type StoredPool,
  StoredPoolServer,
  sha256,
  vectorPool,
} from '#test/helpers/stored-pool.ts';
import { auditBlock, type BlockReport } from '#worker/audit/block-audit.ts';
import type { LossEvaluator } from '#worker/audit/losses.ts';
import { SILENT } from '#worker/audit/progress.ts';
import { blockReportJson } from '#worker/audit/report-json.ts';
import { blockReportText } from '#worker/audit/report-text.ts';
import { HttpSource } from '#worker/audit/source.ts';
import { ApiClient } from '#worker/client/api-client.ts';

const server = await StoredPoolServer.start();

function audit(
  pool: StoredPool,
  chain: 'A' | 'B',
  index: number,
  evaluator?: LossEvaluator,
): Promise<BlockReport> {
  server.pool = pool;
  const signal = new AbortController().signal;
  return auditBlock(
    { chain, index, payload: true, loss: evaluator !== undefined },
    {
      source: new HttpSource(new ApiClient(server.url), signal),
      progress: SILENT,
      signal,
      now: () => 0,
      random: () => 0,
      evaluator: async () => evaluator as LossEvaluator,
    },
  );
}

describe('auditBlock', () => {
  it('finds nothing wrong with any block, and knows its submission', async () => {
    const submissions = [
      [0, 15],
      [0, 15],
      [16, 18],
      [16, 18],
      [19, 19],
    ];
    for (const [i, index] of [0, 15, 16, 18, 19].entries()) {
      const { finding, sealed } = await audit(vectorPool(), 'B', index);
      assert.equal(finding, undefined);
      assert.deepEqual([sealed?.first, sealed?.after.position.index], submissions[i]);
    }
    const rules = await audit(vectorPool(), 'A', 0);
    assert.equal(rules.finding, undefined);
    assert.equal(rules.meta?.index, 0);
  });

  it('shows the fields of the header by their names, the body and the certificate', async () => {
    const report = await audit(vectorPool(), 'B', 17);
    const { header } = report.block;
    const text = blockReportText(report);
    for (const [label, value] of [
      ['index', '17'],
      ['prev_hash', toHex(header.prevHash)],
      ['chain_id', 'B'],
      ['points_to', toHex(header.pointsTo)],
      ['payload_hash', toHex(header.payloadHash)],
      ['miner_pub', toHex(header.minerPub)],
      ['payload_sig', toHex(header.payloadSig)],
      ['part', '2 of 3'],
      ['tensor', bodyAt(17).name],
    ] as const)
      assert.match(text, new RegExp(`^  ${label} +${value}`, 'm'), label);
    assert.match(text, /^Seal \(in B18\)$/m);
    assert.match(text, /attestation 1 .*nats/);
    assert.match(text, /Everything checked holds/);
    const json = JSON.parse(JSON.stringify(blockReportJson(report)));
    assert.equal(json.ok, true);
    assert.deepEqual([json.block.index, json.block.hash], [17, toHex(report.block.hash)]);
    assert.equal(json.block.body.submission, toHex(bodyAt(17).submission));
    assert.deepEqual(json.submission, { id: toHex(bodyAt(17).submission), first: 16, last: 18 });
  });

  it('shows the rules of a Meta block', async () => {
    const text = blockReportText(await audit(vectorPool(), 'A', 0));
    assert.match(text, /^Payload$/m);
    assert.match(text, /^ {2}governors +\d of 0x/m);
  });

  it('NOT_FOUND: a height above the head', async () => {
    await assert.rejects(audit(vectorPool(), 'B', 20), { code: 'NOT_FOUND', message: /no block 20.*B19/ });
    await assert.rejects(audit(vectorPool(), 'A', 1), { code: 'NOT_FOUND' });
  });

  it('hands the submission to the evaluator: the model before it, and what it changed', async () => {
    const jobs: { root: string; changed: string[] }[] = [];
    const evaluator: LossEvaluator = {
      evaluate: async ({ model, changed: tensors }) => {
        jobs.push({ root: model.root, changed: tensors.map(({ name }) => name) });
        const [first] = bodyAt(18).seal?.certificate?.attestations ?? [];
        return { base: first?.base ?? [], candidate: first?.candidate ?? [], tokens: 1, ms: 1 };
      },
    };
    const report = await audit(vectorPool(), 'B', 16, evaluator);
    assert.equal(report.finding, undefined);
    assert.equal(report.losses?.height, 18);
    assert.deepEqual(jobs, [
      { root: toHex(CHAIN.genesis.root), changed: [16, 17, 18].map((i) => bodyAt(i).name) },
    ]);
  });
});

describe('auditBlock names the place and the code of what is wrong', () => {
  const cases: [what: string, index: number, change: (pool: StoredPool) => void, at: string, code: string][] =
    [
      ['its nonce', 17, (pool) => flip(pool, 17, 263), 'B17', 'BLOCK_HASH'],
      ['another part of its submission', 16, (pool) => flip(pool, 18, 170), 'B18', 'BLOCK_HASH'],
      ['a block far below', 19, (pool) => flip(pool, 3, 200), 'B4', 'BLOCK_LINK'],
      ['its payload', 17, (pool) => payload(pool, 17), 'B17', 'BLOCK_PAYLOAD'],
      [
        'the tensor that the index names',
        19,
        (pool) => {
          for (const tensor of pool.model.tensors) if (tensor.height === 19) tensor.height = 3;
        },
        'GET /model',
        'BLOCK_ROOT',
      ],
      [
        'its rewards',
        19,
        (pool) => {
          const moves = movesOf(pool.journal).map((m, i) => (i === 6 ? { ...m, amount: m.amount + 1n } : m));
          Object.assign(pool, accounts(relinked(moves)));
        },
        'B19',
        'JOURNAL',
      ],
      [
        'unpaid rewards',
        19,
        (pool) => Object.assign(pool, accounts(pool.journal.slice(0, 4))),
        'B19',
        'JOURNAL',
      ],
      [
        'the journal it was made on',
        19,
        (pool) => {
          const moves = movesOf(pool.journal).map((m, i) => (i === 0 ? { ...m, time: m.time + 1 } : m));
          Object.assign(pool, accounts(relinked(moves)));
        },
        'B19',
        'JOURNAL',
      ],
      [
        'a seal that breaks the gate rule, mined anew',
        19,
        (pool) => {
          const made = forge(19, { body: { seal: { ...bodyAt(19).seal, base: new Uint8Array(32) } } });
          pool.B[19] = { header: made.headerBytes, body: made.body };
        },
        'B19',
        'BLOCK_CERTIFICATE',
      ],
      ['a submission that is not sealed', 16, (pool) => pool.B.splice(18), 'B16', 'BLOCK_BODY'],
    ];
  for (const [what, index, change, at, code] of cases)
    it(`${code}: ${what}`, async () => {
      const pool = vectorPool();
      change(pool);
      const report = await audit(pool, 'B', index);
      assert.deepEqual([report.finding?.at, report.finding?.code], [at, code], report.finding?.message);
      assert.match(blockReportText(report), new RegExp(`FAILED at ${at}: ${code}: `));
      assert.equal(blockReportJson(report).ok, false);
    });
});

function flip(pool: StoredPool, index: number, byte: number): void {
  const block = pool.B[index];
  if (block) block.header = changed(block.header, byte);
}

function payload(pool: StoredPool, index: number): void {
  const bytes = CHAIN.blocks[index]?.payload as Uint8Array;
  pool.payloads.set(sha256(bytes), changed(bytes, 0));
}
