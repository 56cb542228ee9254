import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type CborValue, encodeCbor } from '#shared/block/cbor.ts';
import { encodeEntryFast } from '#shared/block/entry-encoder.ts';
import { ENTRY_KINDS, type JournalEntry } from '#shared/block/journal.ts';
import { MINER } from '#test/helpers/forge.ts';

const bytes32 = fc.uint8Array({ minLength: 32, maxLength: 32 });
const uint = fc.oneof(
  fc.constantFrom(0, 23, 24, 255, 256, 65_535, 65_536, 2 ** 32 - 1, 2 ** 32, 2 ** 53 - 1),
  fc.maxSafeNat(),
);
const amount = fc.oneof(
  fc.constantFrom(1n, 23n, 24n, 255n, 256n, 65_535n, 65_536n, 2n ** 32n - 1n, 2n ** 32n, 2n ** 64n - 1n),
  fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
);
const side = fc.oneof(
  fc.constant(null),
  fc.constant(MINER.address),
  fc.string({ unit: 'grapheme', maxLength: 80 }),
);
const entry: fc.Arbitrary<JournalEntry> = fc.record({
  ...{ v: fc.constant(1 as const), seq: uint, prev: bytes32, at: uint },
  ...{ kind: fc.constantFrom(...ENTRY_KINDS), ref: bytes32, from: side, to: side, amount },
});

test('writes the bytes of the general encoder', () => {
  fc.assert(
    fc.property(entry, (value) => {
      assert.deepEqual(encodeEntryFast(value), encodeCbor(value as unknown as CborValue));
    }),
    { numRuns: 2_000 },
  );
});

test('BLOCK_ENCODING: what the general encoder refuses', () => {
  const plain: JournalEntry = {
    ...{ v: 1, seq: 0, prev: new Uint8Array(32), at: 0, kind: 'burn', ref: new Uint8Array(32) },
    ...{ from: MINER.address, to: null, amount: 1n },
  };
  for (const wrong of [{ amount: 2n ** 64n }, { seq: 0.5 }, { at: Number.NaN }])
    assert.throws(() => encodeEntryFast({ ...plain, ...wrong }), { code: 'BLOCK_ENCODING' });
});
