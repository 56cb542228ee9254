import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type Move, rewardsHash } from '#shared/block/journal.ts';
import { decodeUnit, encodeUnit } from '#shared/block/work-log.ts';
import {
  bodyAt,
  CHAIN,
  chainAfter,
  forge,
  META,
  NETWORK,
  SECOND_WORKER,
  WORKER,
} from '#test/helpers/forge.ts';
import {
  accounts,
  movesOf,
  relinked,
  type StoredPool,
  StoredPoolServer,
  type TimedMove,
  vectorPool,
  viewOf,
} from '#test/helpers/stored-pool.ts';
import { auditLedger } from '#worker/audit/ledger-audit.ts';
import { ledgerReportJson, ledgerReportText } from '#worker/audit/ledger-report.ts';
import { auditPool } from '#worker/audit/pool-audit.ts';
import { SILENT } from '#worker/audit/progress.ts';
import { HttpSource } from '#worker/audit/source.ts';
import { ApiClient } from '#worker/client/api-client.ts';

const HEAD = CHAIN.blocks.length - 1;
const last = CHAIN.submissions.at(-1) as (typeof CHAIN.submissions)[number];
const stranger = '0x0000000000000000000000000000000000000001';
const server = await StoredPoolServer.start();

function audit(pool: StoredPool) {
  server.pool = pool;
  const signal = new AbortController().signal;
  const source = new HttpSource(new ApiClient(server.url), signal);
  return auditLedger({ source, progress: SILENT, signal, now: () => 0 });
}

/** The pool with other entries for its newest submission, linked anew. */
function withMoves(change: (moves: TimedMove[]) => TimedMove[]): StoredPool {
  const pool = vectorPool();
  const moves = movesOf(pool.journal);
  const kept = moves.length - last.entries.length;
  return { ...pool, ...accounts(relinked([...moves.slice(0, kept), ...change(moves.slice(kept))])) };
}

/** And a newest seal that fixed them so. */
function fixedBy(pool: StoredPool): StoredPool {
  const moves = movesOf(pool.journal.slice(-last.entries.length)).map(({ time: _, ...move }): Move => move);
  const { seal } = bodyAt(HEAD);
  const block = forge(HEAD, { body: { seal: { ...seal, rewards: rewardsHash(NETWORK, moves) } } });
  pool.B[HEAD] = { header: block.headerBytes, body: block.body };
  const chain = chainAfter(HEAD);
  chain.apply(block, META);
  pool.model = viewOf(chain.sealed);
  return pool;
}

const toStranger = (moves: TimedMove[]) =>
  moves.map((move) => (move.to === SECOND_WORKER.address ? { ...move, to: stranger } : move));

describe('auditLedger', () => {
  it('computes what another implementation paid, to the last unit', async () => {
    const report = await audit(vectorPool());
    assert.equal(report.finding, undefined);
    assert.deepEqual(report.differences, []);
    assert.deepEqual([report.rewards, report.mintedUnits], [2, 10_000_000_000n]);
    assert.deepEqual(
      report.checks.map(({ what, count }) => [what, count]),
      [
        ['blocks', 1 + CHAIN.blocks.length],
        ['rewards', 2],
        ['evaluation units', CHAIN.submissions.length],
        ['grinding units', 3],
        ['journal entries', vectorPool().journal.length],
      ],
    );
    assert.match(ledgerReportText(report), /^Differences: none\.$/m);
    assert.equal(Object(ledgerReportJson(report)).ok, true);
  });

  it('tells of a payout that the journal redirects behind the seal', async () => {
    const { differences, finding } = await audit(withMoves(toStranger));
    assert.equal(finding, undefined);
    const told = differences.map(({ height, kind, to, expected, found }) => [
      height,
      kind,
      to,
      expected > 0n,
      found > 0n,
    ]);
    assert.deepEqual(told, [
      [HEAD, 'reward-evaluator', SECOND_WORKER.address, true, false],
      [HEAD, 'reward-grinder', SECOND_WORKER.address, true, false],
      [HEAD, 'reward-evaluator', stranger, false, true],
      [HEAD, 'reward-grinder', stranger, false, true],
    ]);
    assert.ok(differences.every(({ sealFixedExpected }) => sealFixedExpected));
  });

  it('tells of a payout that the seal itself forged, where everything else fits', async () => {
    const { differences, finding } = await audit(fixedBy(withMoves(toStranger)));
    assert.equal(finding, undefined);
    assert.equal(differences.length, 4);
    assert.ok(differences.every(({ sealFixedExpected }) => !sealFixedExpected));
  });

  it('JOURNAL: the audit of the whole pool finds it too', async () => {
    server.pool = fixedBy(withMoves(toStranger));
    const signal = new AbortController().signal;
    const { finding } = await auditPool(
      { chain: 'both', payloads: true, losses: 0 },
      {
        ...{ source: new HttpSource(new ApiClient(server.url), signal), progress: SILENT, signal },
        ...{ now: () => 0, random: () => 0, evaluator: () => assert.fail() },
      },
    );
    assert.deepEqual([finding?.at, finding?.code], [`B${HEAD}`, 'JOURNAL']);
  });

  it('tells of single units that moved between two workers, and of a reward that is missing', async () => {
    const shifted = (moves: TimedMove[]) =>
      moves.map((move) => {
        if (move.kind !== 'reward-evaluator') return move;
        return { ...move, amount: move.amount + (move.to === WORKER.address ? 1n : -1n) };
      });
    const report = await audit(fixedBy(withMoves(shifted)));
    assert.deepEqual(report.differences.map(({ found, expected }) => found - expected).sort(), [-1n, 1n]);
    assert.match(
      ledgerReportText(report),
      /^ {2}B19 {2}reward-evaluator to 0x\S+ {2}expected \d+, found \d+ base units/m,
    );
    const none = await audit(withMoves(() => []));
    assert.equal(none.differences.length, last.entries.length);
    assert.ok(none.differences.every(({ found }) => found === 0n));
  });
});

type Corruption = readonly [what: string, change: (pool: StoredPool) => void, at: string];

const CORRUPTIONS: readonly Corruption[] = [
  ['a unit left out', ({ work }) => void work.grinding.shift(), 'grinding unit 0'],
  ['the newest units left out', ({ work }) => void work.grinding.splice(1), 'grinding unit 1'],
  ['another credit', ({ work }) => changeUnit(work.grinding, 2, { credit: 9n }), `B${HEAD}`],
  [
    'a credit that its hash is not worth',
    ({ work }) => changeUnit(work.grinding, 0, { credit: 2n ** 60n }),
    'grinding unit 0',
  ],
  ['another address', ({ work }) => changeUnit(work.evaluation, 1, { address: stranger }), `B${HEAD}`],
  [
    'work that nobody did',
    ({ work }) => changeUnit(work.evaluation, 0, { ref: new Uint8Array(32) }),
    'evaluation unit 0',
  ],
  [
    'a credit above the tokens',
    ({ work }) => changeUnit(work.evaluation, 0, { credit: 2n }),
    'evaluation unit 0',
  ],
  ['the journal cut', (pool) => Object.assign(pool, accounts(pool.journal.slice(0, 2))), 'journal entry 2'],
];

function changeUnit(log: Uint8Array[], at: number, change: object): void {
  log[at] = encodeUnit({ ...decodeUnit(log[at] as Uint8Array), ...change });
}

describe('auditLedger of a pool with one thing wrong', () => {
  for (const [what, change, at] of CORRUPTIONS)
    it(`JOURNAL at ${at}: ${what}`, async () => {
      const pool = vectorPool();
      change(pool);
      const { finding } = await audit(pool);
      assert.deepEqual([finding?.code, finding?.at], ['JOURNAL', at]);
    });
});
