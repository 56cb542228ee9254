import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { JournalAudit } from '#shared/block/audit-journal.ts';
import { checkRewards, RewardAudit, type RewardClaim } from '#shared/block/audit-rewards.ts';
import { EMPTY_JOURNAL, type EntryKind, linkEntries, type Move, rewardsHash } from '#shared/block/journal.ts';
import { ZERO_32 } from '#shared/crypto/bytes.ts';
import { addressOf } from '#shared/crypto/keys.ts';
import { bodyAt, CHAIN, META, MINER, NETWORK } from '#test/helpers/forge.ts';
import { movesOf } from '#test/helpers/stored-pool.ts';

const [alice, bob, carol] = CHAIN.secrets.governors.map((_, i) =>
  addressOf(META.manifest.governors.keys[i] as Uint8Array),
) as [string, string, string];
const ref = new Uint8Array(32).fill(7);
const move = (kind: EntryKind, from: string | null, to: string | null, amount: bigint): Move => ({
  ...{ kind, ref, from, to, amount },
});

/** Replays moves that are linked without any check of their own but the amounts. */
function replay(moves: readonly Move[]): JournalAudit {
  const audit = new JournalAudit(NETWORK);
  const { entries } = linkEntries(NETWORK, EMPTY_JOURNAL, { moves, at: 5 });
  for (const { bytes } of entries) audit.append(bytes);
  return audit;
}

describe('JournalAudit', () => {
  it('keeps balances and totals', () => {
    const audit = replay([
      move('reward-submitter', null, alice, 10n),
      move('transfer', alice, bob, 4n),
      move('burn', bob, null, 1n),
    ]);
    assert.deepEqual(Object.fromEntries(audit.balances), { [alice]: 6n, [bob]: 3n });
    assert.deepEqual(audit.totals, { minted: 10n, burned: 1n });
    audit.checkAgainst({ journal: audit.journal, minted: 10n, burned: 1n });
    for (const told of [
      { minted: 11n },
      { burned: 0n },
      { journal: { ...audit.journal, head: ZERO_32 } },
      { journal: { ...audit.journal, root: ZERO_32 } },
    ])
      assert.throws(() => audit.checkAgainst({ journal: audit.journal, minted: 10n, burned: 1n, ...told }), {
        code: 'JOURNAL',
      });
  });

  it('JOURNAL: a balance below zero, a mint that is no reward, a burn under another name', () => {
    const reward = move('reward-pool', null, alice, 10n);
    for (const wrong of [
      move('transfer', alice, bob, 11n),
      move('transfer', carol, bob, 1n),
      move('adjustment', null, alice, 1n),
      move('reward-grinder', alice, bob, 1n),
      move('fee', alice, null, 1n),
      move('burn', alice, bob, 1n),
      move('forfeit', alice, bob, 1n),
      move('payout', null, alice, 1n),
    ])
      assert.throws(() => replay([reward, wrong]), { code: 'JOURNAL' }, wrong.kind);
    assert.throws(() => replay([move('reward-pool', null, alice.toLowerCase(), 1n)]), { code: 'ADDRESS' });
  });

  it('JOURNAL: an entry out of its place', () => {
    const { entries } = linkEntries(NETWORK, EMPTY_JOURNAL, {
      moves: [1n, 2n, 3n].map((n) => move('reward-pool', null, alice, n)),
      at: 0,
    });
    const [first, second, third] = entries.map(({ bytes }) => bytes) as [Uint8Array, Uint8Array, Uint8Array];
    for (const order of [[second], [first, third], [first, first]]) {
      const audit = new JournalAudit(NETWORK);
      const last = order.pop() as Uint8Array;
      for (const bytes of order) audit.append(bytes);
      assert.throws(() => audit.append(last), { code: 'JOURNAL' });
    }
  });

  it('conserves money whatever happens', () => {
    const address = fc.constantFrom(alice, bob, carol);
    const step = fc.record({ from: address, to: address, amount: fc.bigInt(1n, 50n), mint: fc.boolean() });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 20 }), (steps) => {
        const audit = new JournalAudit(NETWORK);
        for (const { from, to, amount, mint } of steps) {
          const made = mint ? move('reward-pool', null, to, amount) : move('transfer', from, to, amount);
          if (!mint && (from === to || (audit.balances.get(from) ?? 0n) < amount)) continue;
          const { entries } = linkEntries(NETWORK, audit.journal, { moves: [made], at: 0 });
          for (const { bytes } of entries) audit.append(bytes);
        }
        const sum = [...audit.balances.values()].reduce((a, b) => a + b, 0n);
        assert.equal(sum, audit.totals.minted - audit.totals.burned);
        assert.ok([...audit.balances.values()].every((balance) => balance >= 0n));
      }),
      { numRuns: 30 },
    );
  });
});

const moves = movesOf(CHAIN.submissions[0]?.entries ?? []).map(({ time: _, ...rest }) => rest as Move);
const claim = (change: Partial<RewardClaim['seal']> = {}): RewardClaim => ({
  height: 18,
  submission: bodyAt(18).submission,
  miner: MINER.publicKey,
  seal: {
    journal: EMPTY_JOURNAL,
    certificate: bodyAt(18).seal?.certificate ?? null,
    rewards: rewardsHash(NETWORK, moves),
    ...change,
  },
  manifest: META.manifest,
});

describe('checkRewards', () => {
  it('takes what the seal of the vectors fixed', () => {
    assert.deepEqual(bodyAt(18).seal?.rewards, claim().seal.rewards);
    checkRewards(NETWORK, claim(), moves);
  });

  it('JOURNAL: other moves than fixed, or fixed against the split or the owner', () => {
    const [first] = moves as [Move];
    const shapes: Move[][] = [
      moves.slice(1),
      [...moves, first],
      moves.map((m, i) => (i === 0 ? { ...m, amount: m.amount + 1n } : m)),
      moves.map((m) => (m.kind === 'reward-submitter' ? { ...m, to: carol } : m)),
      moves.map((m) => (m.kind === 'reward-pool' ? { ...m, to: MINER.address } : m)),
    ];
    for (const other of shapes) {
      assert.throws(() => checkRewards(NETWORK, claim(), other), { code: 'JOURNAL' });
      const fixed = claim({ rewards: rewardsHash(NETWORK, other) });
      assert.throws(() => checkRewards(NETWORK, fixed, other), { code: 'JOURNAL' });
    }
  });
});

describe('RewardAudit', () => {
  it('BLOCK_BODY: a submission that is sealed twice; JOURNAL: a genesis that pays', () => {
    const audit = new RewardAudit(NETWORK);
    audit.claim(claim());
    assert.throws(() => audit.claim(claim()), { code: 'BLOCK_BODY' });
    const genesis = { ...claim(), height: 15, submission: ZERO_32 };
    assert.throws(() => audit.claim(genesis), { code: 'JOURNAL' });
  });

  it('lets only newer seals be unpaid', () => {
    const audit = new RewardAudit(NETWORK);
    audit.claim(claim());
    assert.throws(() => audit.settle(18), { code: 'JOURNAL' });
    audit.place(EMPTY_JOURNAL);
    assert.equal(audit.settle(17), 0);
  });
});
