import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type CborValue, encodeCbor } from '#shared/block/cbor.ts';
import {
  decodeEntry,
  encodeEntry,
  entryDigest,
  type JournalLink,
  linkEntries,
  type Move,
  rewardsHash,
} from '#shared/block/journal.ts';
import { equalBytes } from '#shared/crypto/bytes.ts';
import { flipBit, readVectors } from '#test/helpers/vectors.ts';

interface Case {
  network: Uint8Array;
  before: JournalLink;
  at: number;
  moves: (Omit<Move, 'amount'> & { amount: number | bigint })[];
  entries: Uint8Array[];
  after: JournalLink;
  rewards: Uint8Array;
}
const journals = readVectors<{ journals: Case[] }>('journal').journals.map((c) => ({
  ...c,
  moves: c.moves.map((m): Move => ({ ...m, amount: BigInt(m.amount) })),
}));

test('entries, digests and the rewards hash are those of the vectors', () => {
  for (const { network, before, at, moves, entries, after, rewards } of journals) {
    const linked = linkEntries(network, before, { moves, at });
    assert.deepEqual(
      linked.entries.map(({ bytes }) => bytes),
      entries,
    );
    assert.deepEqual(linked.head, after);
    assert.deepEqual(rewardsHash(network, moves), rewards);
    for (const { entry, bytes } of linked.entries) {
      assert.deepEqual(decodeEntry(bytes), entry);
      assert.deepEqual(encodeEntry(entry), bytes);
    }
  }
});

test('every changed bit of an entry is refused or changes its digest and its meaning', () => {
  const { network, entries } = journals[0]!;
  for (const bytes of entries) {
    for (let bit = 0; bit < bytes.length * 8; bit++) {
      const bad = flipBit(bytes, bit);
      assert.ok(!equalBytes(entryDigest(network, bad), entryDigest(network, bytes)));
      try {
        assert.notDeepEqual(decodeEntry(bad), decodeEntry(bytes), `bit ${bit}`);
      } catch (error) {
        assert.equal((error as { code?: string }).code, 'BLOCK_ENCODING', `bit ${bit}: ${error}`);
      }
    }
  }
});

test('the rewards hash depends on order, network and every field', () => {
  const { network, moves } = journals[0]!;
  const [first, ...rest] = moves as [Move, ...Move[]];
  const hash = rewardsHash(network, moves);
  const others = [
    rewardsHash(new Uint8Array(32), moves),
    rewardsHash(network, [...rest, first]),
    rewardsHash(network, rest),
    rewardsHash(network, [{ ...first, kind: 'reward-pool' }, ...rest]),
    rewardsHash(network, [{ ...first, ref: new Uint8Array(32) }, ...rest]),
    rewardsHash(network, [{ ...first, from: first.to, to: first.from }, ...rest]),
    rewardsHash(network, [{ ...first, amount: first.amount + 1n }, ...rest]),
  ];
  for (const [i, other] of others.entries()) assert.ok(!equalBytes(other, hash), String(i));
});

test('JOURNAL: nothing is moved, less than nothing, or from one to the same', () => {
  const { network, before, moves } = journals[0]!;
  const move = moves[0] as Move;
  for (const change of [{ amount: 0n }, { amount: -1n }, { from: move.to }, { from: null, to: null }])
    assert.throws(() => linkEntries(network, before, { moves: [{ ...move, ...change }], at: 0 }), {
      code: 'JOURNAL',
    });
});

test('BLOCK_ENCODING: an amount beyond 64 bits', () => {
  const { network, before, moves } = journals[0]!;
  const move = { ...(moves[0] as Move), amount: 2n ** 64n };
  assert.throws(() => linkEntries(network, before, { moves: [move], at: 0 }), { code: 'BLOCK_ENCODING' });
});

test('BLOCK_ENCODING: entries of another form', () => {
  const { network, before, moves } = journals[0]!;
  const { entry } = linkEntries(network, before, { moves, at: 1 }).entries[0]!;
  for (const change of [
    { v: 2 },
    { seq: -1 },
    { prev: new Uint8Array(31) },
    { kind: 'gift' },
    { kind: 'toString' },
    { amount: -1 },
    { amount: '1' },
    { from: undefined },
    { to: 7 },
    { extra: 1 },
  ])
    assert.throws(
      () => decodeEntry(encodeCbor({ ...entry, ...change } as unknown as CborValue)),
      { code: 'BLOCK_ENCODING' },
      JSON.stringify(change),
    );
});
