import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import type { WorkerSession } from '#coordinator/dispatch/worker-session.ts';
import { MINING_DEFAULTS, type MiningOptions } from '#coordinator/mining/options.ts';
import { WorkBoard } from '#coordinator/mining/work-board.ts';
import { blockHash, withNonce } from '#shared/block/header.ts';
import type { Work } from '#shared/block/work-log.ts';
import { fromHex } from '#shared/crypto/bytes.ts';
import { keyPair } from '#shared/crypto/keys.ts';
import { PoolError } from '#shared/errors/pool-error.ts';
import { bitsFromTarget, expectedHashes, MAX_TARGET, meetsTarget } from '#shared/pow/target.ts';
import type { Receipt } from '#shared/protocol/receipt.ts';
import type { ToWorker } from '#shared/protocol/worker.ts';

type Lease = Extract<ToWorker, { type: 'mine' }>;

const RECEIPT = {} as Receipt;
const never = new AbortController().signal;
/** Nothing solves it. */
const HARD = bitsFromTarget(1n);
/** Every second hash solves it. */
const EASY = bitsFromTarget(MAX_TARGET >> 1n);
/** Shares of the easiest rule are one in 64 hashes. */
const VARDIFF = { ...MINING_DEFAULTS.vardiff, easiest: 64n, hardest: 64n };

function setUp(options: Partial<MiningOptions> = {}) {
  const clock = { now: 5_000 };
  const sessions: (WorkerSession & { sent: ToWorker[] })[] = [];
  const added: Work[] = [];
  const refused: string[] = [];
  const outcome = { add: async (_: Work): Promise<{ receipt: Receipt }> => ({ receipt: RECEIPT }) };
  const counts = { shares: 0, measured: 0 };
  const board = new WorkBoard(
    { ...MINING_DEFAULTS, vardiff: VARDIFF, probeMs: 0, ...options },
    {
      workers: { withRole: () => sessions },
      shares: {
        add: (work) => {
          added.push(work);
          return outcome.add(work);
        },
      },
      now: () => clock.now,
    },
    {
      onShare: () => {
        counts.shares += 1;
      },
      onMeasured: () => {
        counts.measured += 1;
      },
      onRefused: (code) => refused.push(code),
      onFault: () => {},
    },
  );
  const join = () => {
    const { publicKey, address } = keyPair(new Uint8Array(32).fill(sessions.length + 1));
    const sent: ToWorker[] = [];
    const session = {
      ...{ publicKey, address, owner: address, sent, hashesPerSecond: 1_000 },
      shares: { accepted: 0, refused: 0, hashesPerSecond: 0 },
      ...{ ready: { evaluate: 0, mine: 1 }, holds: { evaluate: 0, mine: 0 } },
      send: (message: ToWorker) => sent.push(message),
    } as unknown as WorkerSession & { sent: ToWorker[] };
    sessions.push(session);
    board.onReady(session, 'mine');
    return session;
  };
  return { board, clock, join, sessions, added, refused, outcome, counts };
}

const leasesOf = ({ sent }: { sent: ToWorker[] }) => sent.filter((m): m is Lease => m.type === 'mine');
const template = () => new Uint8Array(264).fill(7);

/** The nonces of a lease that are shares, and the first that is none. */
function search({ header, start, count, target }: Lease) {
  const meets = (nonce: bigint) =>
    meetsTarget(blockHash(withNonce(fromHex(header, 264), nonce)), BigInt(`0x${target}`));
  const nonces = Array.from({ length: Number(count) }, (_, i) => BigInt(start) + BigInt(i));
  return { shares: nonces.filter(meets), none: nonces.find((nonce) => !meets(nonce)) as bigint };
}

const share = ({ work, lease }: Pick<Lease, 'work' | 'lease'>, nonce: bigint) =>
  ({ type: 'share', work, lease, nonce: nonce.toString(), ms: 1 }) as const;
const range = ({ work, lease }: Pick<Lease, 'work' | 'lease'>) =>
  ({ type: 'range', work, lease, hashes: '1', ms: 1 }) as const;

describe('WorkBoard', () => {
  it('leases disjoint ranges, credits every share, and acknowledges it with a receipt', async () => {
    const { board, join, added, counts } = setUp();
    const [one, two] = [join(), join()];
    void board.solve(template, HARD, never);
    const [first, second] = [leasesOf(one)[0], leasesOf(two)[0]] as [Lease, Lease];
    assert.equal(BigInt(first.start) + BigInt(first.count), BigInt(second.start));
    const { shares } = search(first);
    assert.ok(shares.length > 10);
    for (const nonce of shares) board.onMessage(one, share(first, nonce));
    await turn();
    assert.equal(added.length, shares.length);
    assert.ok(added.every(({ credit, address }) => credit === 64n && address === one.owner));
    const acknowledged = one.sent.filter((m) => m.type === 'credited');
    assert.deepEqual(
      acknowledged.map(({ nonce, receipt }) => [nonce, receipt]),
      shares.map((nonce) => [nonce.toString(), RECEIPT]),
    );
    assert.equal(counts.shares, shares.length);
    assert.deepEqual(one.shares, { ...one.shares, accepted: shares.length, refused: 0 });
    board.onMessage(one, range(first));
    assert.equal(board.coverage?.searched, BigInt(first.count));
    board.close();
  });

  it('refuses by code what is no share, and counts it', () => {
    const { board, join, refused } = setUp();
    const [one, two] = [join(), join()];
    void board.solve(template, HARD, never);
    const [lease, other] = [leasesOf(one)[0], leasesOf(two)[0]] as [Lease, Lease];
    const { shares, none } = search(lease);
    const good = share(lease, shares[0] as bigint);
    board.onMessage(one, good);
    const cases: [string, Parameters<WorkBoard['onMessage']>[1]][] = [
      ['SHARE_DUPLICATE', good],
      ['WORK_LOW', share(lease, none)],
      ['WORK_RANGE', share(lease, BigInt(lease.start) + BigInt(lease.count))],
      ['LEASE_UNKNOWN', share(other, BigInt(other.start))],
      ['WORK_STALE', share({ ...lease, work: 'work-77' }, 1n)],
    ];
    for (const [code, message] of cases) assert.throws(() => board.onMessage(one, message), { code });
    assert.deepEqual(
      refused,
      cases.map(([code]) => code),
    );
    assert.equal(one.shares.refused, cases.length);
    assert.throws(() => board.onMessage(one, range(other)), { code: 'LEASE_UNKNOWN' });
    board.close();
  });

  it('ends with the first nonce that solves the block, cancels the others, and still credits what was under way', async () => {
    const { board, join, clock, added } = setUp();
    const [one, two] = [join(), join()];
    const solving = board.solve(template, EASY, never);
    const [lease, other] = [leasesOf(one)[0], leasesOf(two)[0]] as [Lease, Lease];
    const { shares } = search(lease);
    board.onMessage(one, share(lease, shares[0] as bigint));
    const { header, session } = await solving;
    assert.equal(session, one);
    assert.ok(meetsTarget(blockHash(header), MAX_TARGET >> 1n));
    assert.equal(added[0]?.credit, expectedHashes(EASY));
    assert.ok(two.sent.some((m) => m.type === 'cancel' && m.id === other.work));
    const late = search(other).shares as [bigint, bigint];
    board.onMessage(two, share(other, late[0]));
    assert.equal(added.length, 2);
    clock.now += 2_001;
    assert.throws(() => board.onMessage(two, share(other, late[1])), { code: 'WORK_STALE' });
    board.onMessage(two, range(other));
    assert.equal(two.holds.mine, 0);
    assert.throws(() => board.onMessage(two, range(other)), { code: 'LEASE_UNKNOWN' });
    assert.equal(two.holds.mine, 0);
    board.close();
  });

  it('leases what a lost worker held to others, unless its shares would be found again', () => {
    const { board, join, sessions } = setUp();
    const [one, two] = [join(), join()];
    void board.solve(template, HARD, never);
    const [first, second] = [leasesOf(one)[0], leasesOf(two)[0]] as [Lease, Lease];
    sessions.splice(0, 2);
    board.onLost(one);
    board.onMessage(two, share(second, search(second).shares[0] as bigint));
    board.onLost(two);
    const three = join();
    assert.equal(leasesOf(three)[0]?.start, first.start);
    assert.equal(board.coverage?.skipped, BigInt(second.count));
    board.close();
  });

  it('makes a template anew that is not solved in time, and keeps what was credited', async () => {
    const { board, join, added } = setUp({ templateMs: 30 });
    const one = join();
    let made = 0;
    void board.solve(() => new Uint8Array(264).fill(++made), HARD, never);
    const [lease] = leasesOf(one) as [Lease];
    one.ready.mine = 1;
    board.onMessage(one, share(lease, search(lease).shares[0] as bigint));
    while (made < 2) await turn();
    assert.ok(one.sent.some((m) => m.type === 'cancel' && m.id === lease.work));
    const again = leasesOf(one).at(-1) as Lease;
    assert.notEqual(again.header, lease.header);
    assert.equal(again.start, '0');
    assert.equal(added.length, 1);
    board.close();
  });

  it('says what could not be credited, and goes on', async () => {
    const { board, join, outcome, refused } = setUp();
    const one = join();
    void board.solve(template, HARD, never);
    const [lease] = leasesOf(one) as [Lease];
    outcome.add = () => Promise.reject(new PoolError('SHARE_DUPLICATE', 'again'));
    board.onMessage(one, share(lease, search(lease).shares[0] as bigint));
    await turn();
    assert.ok(one.sent.some((m) => m.type === 'error' && m.error.code === 'SHARE_DUPLICATE'));
    assert.ok(!one.sent.some((m) => m.type === 'credited'));
    assert.deepEqual(refused, ['SHARE_DUPLICATE']);
    board.close();
  });

  it('measures the workers of an idle pool, and pays nobody for it', async () => {
    const { board, join, clock, added, counts } = setUp({ probeMs: 60_000 });
    const one = join();
    const [probe] = leasesOf(one) as [Lease];
    const { shares } = search(probe);
    for (const nonce of shares) board.onMessage(one, share(probe, nonce));
    clock.now += 1_000;
    assert.ok(board.rates.perSecond(one) > 0);
    board.onMessage(one, range(probe));
    await turn();
    assert.deepEqual([added.length, counts.measured], [0, shares.length]);
    const acknowledged = one.sent.filter((m) => m.type === 'credited');
    assert.ok(acknowledged.length > 0 && acknowledged.every(({ receipt }) => receipt === null));
    one.ready.mine = 1;
    board.onReady(one, 'mine');
    assert.equal(leasesOf(one).length, 1);
    clock.now += 60_000;
    board.onReady(one, 'mine');
    assert.equal(leasesOf(one).length, 2);
    one.ready.mine = 1;
    void board.solve(template, HARD, never);
    assert.ok(one.sent.some((m) => m.type === 'cancel' && m.id === leasesOf(one)[1]?.work));
    assert.match(leasesOf(one)[2]?.work ?? '', /^work-/);
    board.close();
  });
});
