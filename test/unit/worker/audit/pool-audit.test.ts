import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { decodeEntry, encodeEntry } from '#shared/block/journal.ts';
import { toHex } from '#shared/crypto/bytes.ts';
import { bodyAt, CHAIN, chainAfter, changed, forge, META } from '#test/helpers/forge.ts';
import {
  accounts,
  movesOf,
  relinked,
  type StoredPool,
  StoredPoolServer,
  sha256,
  type TimedMove,
  vectorPool,
  viewOf,
} from '#test/helpers/stored-pool.ts';
import type { LossEvaluator } from '#worker/audit/losses.ts';
import { auditPool, type PoolAuditOptions, type PoolReport } from '#worker/audit/pool-audit.ts';
import { SILENT } from '#worker/audit/progress.ts';
import { HttpSource } from '#worker/audit/source.ts';
import { ApiClient } from '#worker/client/api-client.ts';

const HEAD = CHAIN.blocks.length - 1;
/** A block in the middle of the submission of three parts. */
const PART = 17;
const poolAddress = decodeEntry(CHAIN.submissions[0]?.entries.at(-1) as Uint8Array).to as string;

const server = await StoredPoolServer.start();

function audit(
  pool: StoredPool,
  options: Partial<PoolAuditOptions> = {},
  evaluator?: LossEvaluator,
): Promise<PoolReport> {
  server.pool = pool;
  const signal = new AbortController().signal;
  return auditPool(
    { chain: 'both', payloads: true, losses: 0, ...options },
    {
      source: new HttpSource(new ApiClient(server.url), signal),
      progress: SILENT,
      signal,
      now: () => 0,
      random: () => 0.5,
      evaluator: async () => {
        assert.ok(evaluator, 'no loss was to be computed');
        return evaluator;
      },
    },
  );
}

/** What the certificates of the chain say, with `change` over it. */
function evaluatorThat(change: (losses: number[]) => (number | null)[]): LossEvaluator {
  return {
    evaluate: async ({ windows, candidateRoot }) => {
      const seal = [18, 19].map(bodyAt).find(({ root }) => toHex(root) === candidateRoot)?.seal;
      const [first] = seal?.certificate?.attestations ?? [];
      assert.ok(first && windows.length === first.base.length);
      return { base: [...first.base], candidate: change([...first.candidate]), tokens: 1, ms: 1 };
    },
  };
}

describe('auditPool', () => {
  it('finds nothing wrong with a chain that another implementation made, and says what it checked', async () => {
    const report = await audit(vectorPool());
    assert.equal(report.finding, undefined);
    assert.deepEqual(
      report.checks.map(({ what, count }) => [what, count]),
      [
        ['Meta blocks', 1],
        ['Parameter blocks', 20],
        ['submissions', 2],
        ['parameter index', 16],
        ['payloads', new Set(CHAIN.blocks.map(({ payload }) => sha256(payload))).size],
        ['journal entries', CHAIN.journal.seq],
        ['rewards', 2],
        ['rewards computed anew', 2],
        ['balances', vectorPool().balances.size],
      ],
    );
    assert.deepEqual(report.height, { A: 0, B: HEAD });
  });

  it('checks one chain alone, or no payloads, where that is asked for', async () => {
    const broken = vectorPool();
    broken.B = [];
    broken.journal = [];
    assert.equal((await audit(broken, { chain: 'A' })).finding, undefined);
    const without = vectorPool();
    for (const { payload } of CHAIN.blocks) without.payloads.delete(sha256(payload));
    const report = await audit(without, { payloads: false });
    assert.equal(report.finding, undefined);
    assert.ok(!report.checks.some(({ what }) => what === 'payloads'));
  });

  it('goes on with a pool that grows meanwhile', async () => {
    const grown = vectorPool();
    const young = { ...vectorPool(), ...accounts(grown.journal.slice(0, 4)) };
    const { sealed } = chainAfter(19);
    young.model = viewOf(sealed);
    server.onRequest = (path) => {
      if (path.startsWith('/chain/B')) server.pool = { ...grown, model: young.model };
    };
    try {
      const report = await audit(young);
      assert.equal(report.finding, undefined);
      assert.equal(report.height.B, 18);
      assert.equal(report.checks.find(({ what }) => what === 'Parameter blocks')?.count, 20);
    } finally {
      server.onRequest = () => {};
    }
  });

  it('rejects, and finds nothing, where the line breaks', async () => {
    const signal = new AbortController().signal;
    const source = new HttpSource(new ApiClient('http://127.0.0.1:9'), signal);
    const dependencies = { source, progress: SILENT, signal, now: () => 0, random: () => 0 };
    const run = auditPool(
      { chain: 'both', payloads: true, losses: 0 },
      { ...dependencies, evaluator: () => assert.fail() },
    );
    await assert.rejects(run, { code: 'UNAVAILABLE' });
  });
});

type Corruption = readonly [what: string, change: (pool: StoredPool) => void, at: string, code: string];

const entries = () => movesOf(vectorPool().journal);
const NEWEST = CHAIN.journal.seq - 1;
const journalOf = (moves: readonly TimedMove[]) => accounts(relinked(moves));
const stranger = '0x0000000000000000000000000000000000000001';
const payloadOf = (index: number) => sha256(CHAIN.blocks[index]?.payload as Uint8Array);
const replaceBlock = (pool: StoredPool, index: number, made: ReturnType<typeof forge>) => {
  pool.B[index] = { header: made.headerBytes, body: made.body };
};
const flip = (pool: StoredPool, chain: 'A' | 'B', index: number, part: 'header' | 'body', byte: number) => {
  const block = pool[chain][index];
  if (block) block[part] = changed(block[part], byte);
};

const CORRUPTIONS: readonly Corruption[] = [
  // Headers: one byte of each field.
  ...(
    [
      ['version', 1, 'BLOCK_ENCODING'],
      ['index', 9, 'BLOCK_LINK'],
      ['timestamp', 17, 'BLOCK_HASH'],
      ['prev_hash', 20, 'BLOCK_LINK'],
      ['chain_id', 50, 'BLOCK_ENCODING'],
      ['points_to', 60, 'BLOCK_HASH'],
      ['payload_hash', 90, 'BLOCK_HASH'],
      ['payload_size', 122, 'BLOCK_HASH'],
      ['miner_pub', 130, 'BLOCK_HASH'],
      ['payload_sig', 170, 'BLOCK_HASH'],
      ['body_hash', 230, 'BLOCK_BODY'],
      ['bits', 255, 'BLOCK_HASH'],
      ['nonce', 263, 'BLOCK_HASH'],
    ] as const
  ).map(
    ([field, byte, code]): Corruption => [
      `${field} of B${PART}`,
      (pool) => flip(pool, 'B', PART, 'header', byte),
      `B${PART}`,
      code,
    ],
  ),
  ['body of B17', (pool) => flip(pool, 'B', PART, 'body', 30), 'B17', 'BLOCK_BODY'],
  ['body of A0', (pool) => flip(pool, 'A', 0, 'body', 100), 'A0', 'BLOCK_BODY'],
  ['a header cut short', (pool) => cutHeader(pool), 'B17', 'BLOCK_ENCODING'],
  ['a block left out', (pool) => pool.B.splice(PART, 1), `B${PART}`, 'BLOCK_LINK'],
  ['the newest block left out', (pool) => pool.B.pop(), `B${HEAD}`, 'BLOCK_LINK'],
  ['a chain cut in a submission', (pool) => cutIn(pool), `B${PART + 1}`, 'BLOCK_LINK'],
  ['no A0', (pool) => pool.A.pop(), 'A0', 'BLOCK_LINK'],
  // Payloads.
  ['a payload changed', (pool) => changePayload(pool, (bytes) => changed(bytes, 3)), 'B17', 'BLOCK_PAYLOAD'],
  ['a payload cut', (pool) => changePayload(pool, (bytes) => bytes.slice(1)), 'B17', 'BLOCK_PAYLOAD'],
  [
    'a payload too long',
    (pool) => changePayload(pool, (bytes) => Uint8Array.of(...bytes, 0)),
    'B17',
    'BLOCK_PAYLOAD',
  ],
  ['a payload missing', (pool) => pool.payloads.delete(payloadOf(PART)), 'B17', 'BLOCK_PAYLOAD'],
  [
    'the Meta payload changed',
    (pool) => pool.payloads.set(sha256(CHAIN.meta.payload), changed(CHAIN.meta.payload, 50)),
    'A0',
    'BLOCK_PAYLOAD',
  ],
  // What the pool says of its model.
  ['root', (pool) => Object.assign(pool.model, { root: 'ab'.repeat(32) }), 'GET /model', 'BLOCK_ROOT'],
  [
    'salt hash',
    (pool) => Object.assign(pool.model, { salt_hash: 'ab'.repeat(32) }),
    'GET /model',
    'BLOCK_CERTIFICATE',
  ],
  ['network', (pool) => Object.assign(pool.model, { network: 'ab'.repeat(32) }), 'GET /model', 'BLOCK_LINK'],
  [
    'public keys denied',
    (pool) => Object.assign(pool.model, { unsafe_keys: !pool.model.unsafe_keys }),
    'GET /model',
    'BLOCK_LINK',
  ],
  [
    'head hash',
    (pool) => Object.assign(pool.model.head, { hash: 'ab'.repeat(32) }),
    'GET /model',
    'BLOCK_LINK',
  ],
  [
    'a head inside a submission',
    (pool) => Object.assign(pool.model.head, { index: PART }),
    'GET /model',
    'BLOCK_LINK',
  ],
  [
    'a head that is not there',
    (pool) => Object.assign(pool.model.head, { index: 99 }),
    `B${HEAD + 1}`,
    'BLOCK_LINK',
  ],
  ['a tensor left out', (pool) => pool.model.tensors.pop(), 'GET /model', 'BLOCK_ROOT'],
  [
    'hash of a tensor',
    (pool) => Object.assign(pool.model.tensors[0] ?? {}, { hash: 'ab'.repeat(32) }),
    'GET /model',
    'BLOCK_ROOT',
  ],
  [
    'height of a tensor',
    (pool) => Object.assign(pool.model.tensors[0] ?? {}, { height: 1 }),
    'GET /model',
    'BLOCK_ROOT',
  ],
  // The journal.
  ['an entry changed', (pool) => changeEntry(pool, 2), 'journal entry 3', 'JOURNAL'],
  ['the newest entry changed', (pool) => changeEntry(pool, NEWEST), 'GET /journal', 'JOURNAL'],
  ['an entry left out', (pool) => pool.journal.splice(2, 1), 'journal entry 2', 'JOURNAL'],
  ['the newest entry left out', (pool) => pool.journal.pop(), `journal entry ${NEWEST}`, 'JOURNAL'],
  ['entries exchanged', (pool) => pool.journal.reverse(), 'journal entry 0', 'JOURNAL'],
  [
    'a reward raised, all linked anew',
    (pool) => Object.assign(pool, journalOf(entries().map((m, i) => (i === 5 ? { ...m, amount: 1n } : m)))),
    `B${HEAD}`,
    'JOURNAL',
  ],
  [
    'a reward to somebody else, all linked anew',
    (pool) => Object.assign(pool, journalOf(entries().map((m, i) => (i === 4 ? { ...m, to: stranger } : m)))),
    `B${HEAD}`,
    'JOURNAL',
  ],
  [
    'an old reward changed, all linked anew',
    (pool) => Object.assign(pool, journalOf(entries().map((m, i) => (i === 0 ? { ...m, to: stranger } : m)))),
    `B${HEAD}`,
    'JOURNAL',
  ],
  [
    'a reward without a block',
    (pool) => {
      const move = { ...(entries()[0] as TimedMove), ref: new Uint8Array(32).fill(9) };
      Object.assign(pool, journalOf([...entries(), move]));
    },
    `journal entry ${CHAIN.journal.seq}`,
    'JOURNAL',
  ],
  [
    'a reward paid twice',
    (pool) => Object.assign(pool, journalOf([...entries(), entries().at(-1) as TimedMove])),
    `B${HEAD}`,
    'JOURNAL',
  ],
  [
    'rewards that were never paid',
    (pool) => Object.assign(pool, accounts(pool.journal.slice(0, 4))),
    `B${HEAD}`,
    'JOURNAL',
  ],
  ['minted', (pool) => Object.assign(pool.told, { minted: 1n }), 'GET /journal', 'JOURNAL'],
  ['burned', (pool) => Object.assign(pool.told, { burned: 1n }), 'GET /journal', 'JOURNAL'],
  [
    'head of the journal',
    (pool) => Object.assign(pool.told, { head: new Uint8Array(32) }),
    'GET /journal',
    'JOURNAL',
  ],
  ['a balance', (pool) => pool.balances.set(poolAddress, 12n), `balance of ${poolAddress}`, 'JOURNAL'],
];

function cutHeader(pool: StoredPool): void {
  const block = pool.B[PART];
  if (block) block.header = block.header.slice(0, 263);
}

function cutIn(pool: StoredPool): void {
  pool.B.splice(PART + 1);
}

function changePayload(pool: StoredPool, change: (bytes: Uint8Array) => Uint8Array): void {
  pool.payloads.set(payloadOf(PART), change(CHAIN.blocks[PART]?.payload as Uint8Array));
}

/** Another amount in an entry, with everything else as it was. */
function changeEntry(pool: StoredPool, index: number): void {
  const { seq, prev, at: time, ...move } = decodeEntry(pool.journal[index] as Uint8Array);
  pool.journal[index] = encodeEntry({ ...move, seq, prev, at: time, amount: move.amount + 1n });
}

describe('auditPool names the place and the code of every corruption', () => {
  for (const [what, change, at, code] of CORRUPTIONS)
    it(`${code}: ${what}`, async () => {
      const pool = vectorPool();
      change(pool);
      const { finding } = await audit(pool);
      assert.ok(finding, 'it was not noticed');
      assert.deepEqual([finding.at, finding.code], [at, code], finding.message);
      assert.ok(finding.message.length > 10);
    });

  it('BLOCK_HASH, or another code of blocks: any one byte of a header', async () => {
    for (let byte = 0; byte < 264; byte += 47) {
      const pool = vectorPool();
      flip(pool, 'B', PART, 'header', byte);
      const { finding } = await audit(pool);
      assert.equal(finding?.at, `B${PART}`, `byte ${byte}`);
    }
  });
});

describe('auditPool on blocks that were mined anew', () => {
  it('PAYLOAD_KNOWN: a submission with the payload of an earlier one', async () => {
    const pool = vectorPool();
    const { payload, header } = CHAIN.blocks[18] as (typeof CHAIN.blocks)[number];
    assert.equal(sha256(payload), toHex(header.slice(83, 115)));
    const copied = forge(19, { header: { payloadHash: header.slice(83, 115) } });
    replaceBlock(pool, 19, copied);
    const { finding } = await audit(pool);
    assert.equal(finding?.at, 'B19');
  });

  it('BLOCK_BODY: a submission sealed without a certificate of its own', async () => {
    const pool = vectorPool();
    const seal = { ...bodyAt(19).seal, certificate: null };
    replaceBlock(pool, 19, forge(19, { body: { seal } }));
    const { finding } = await audit(pool);
    assert.deepEqual([finding?.at, finding?.code], ['B19', 'BLOCK_CERTIFICATE']);
  });

  it('JOURNAL: a seal that fixed other rewards, or was made on another journal', async () => {
    const { seal } = bodyAt(19);
    assert.ok(seal);
    for (const change of [
      { rewards: new Uint8Array(32).fill(1) },
      { journal: { ...seal.journal, head: new Uint8Array(32) } },
      { journal: { ...seal.journal, root: CHAIN.journal.root } },
      { journal: { ...seal.journal, seq: 99 } },
      { journal: CHAIN.journal },
    ]) {
      const pool = vectorPool();
      const forged = forge(19, { body: { seal: { ...seal, ...change } } });
      replaceBlock(pool, 19, forged);
      pool.model.head = { index: 19, hash: toHex(forged.hash) };
      const { finding } = await audit(pool);
      assert.equal(finding?.code, 'JOURNAL', JSON.stringify(change));
    }
  });
});

describe('auditPool with losses', () => {
  it('compares every attestation with what this machine finds', async () => {
    const { tolerance_micro_nats: tolerance } = META.manifest.quorum;
    const same = await audit(
      vectorPool(),
      { losses: 5 },
      evaluatorThat((losses) => losses),
    );
    const within = evaluatorThat((losses) =>
      losses.map((loss, i) => (i === 2 ? loss + tolerance / 2 : loss)),
    );
    const report = await audit(vectorPool(), { losses: 5 }, within);
    assert.equal(report.finding, undefined);
    assert.deepEqual(
      report.losses.map(({ height }) => height),
      [18, 19],
    );
    report.losses.forEach(({ largestMicroNats }, i) => {
      const before = same.losses[i]?.largestMicroNats ?? 0;
      assert.ok(largestMicroNats >= Math.max(before, tolerance / 2) && largestMicroNats <= tolerance);
    });
    const { attestedMicroNats } = report.losses[0] as (typeof report.losses)[number];
    const verdict = CHAIN.submissions[0]?.verdict;
    assert.ok(Math.abs(attestedMicroNats.before - (verdict?.meanBaseMicroNats ?? 0)) <= 1);
    const [first, second] = (await audit(vectorPool(), { losses: 5 }, within)).losses.map(
      ({ height }) => height,
    );
    assert.ok(first !== undefined && second !== undefined && first < second);
    const between = async (from: number, to: number) => {
      const { losses } = await audit(
        vectorPool(),
        { losses: 5, lossRange: { first: from, last: to } },
        within,
      );
      return losses.map(({ height }) => height);
    };
    assert.deepEqual(await between(0, first), [first]);
    assert.deepEqual(await between(first, second), [first, second]);
    assert.deepEqual(await between(first + 1, second - 1), []);
    assert.equal((await audit(vectorPool(), { losses: 1 }, within)).losses.length, 1);
  });

  it('BLOCK_CERTIFICATE: a loss off by more than the tolerance; LOSS_NOT_FINITE: none at all', async () => {
    const tolerance = META.manifest.quorum.tolerance_micro_nats;
    const off = evaluatorThat((losses) => losses.map((loss) => loss - 3 * tolerance));
    const { finding } = await audit(vectorPool(), { losses: 5 }, off);
    assert.deepEqual([finding?.at, finding?.code], ['B18', 'BLOCK_CERTIFICATE']);
    assert.match(finding?.message ?? '', /attested loss is \d+ micro-nats from the one found here/);
    const none = await audit(
      vectorPool(),
      { losses: 5 },
      evaluatorThat((losses) => losses.map(() => null)),
    );
    assert.deepEqual([none.finding?.at, none.finding?.code], ['B18', 'LOSS_NOT_FINITE']);
  });
});
