import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  decodeUnit,
  encodeUnit,
  linkUnits,
  unitDigest,
  type Work,
  type WorkKind,
  type WorkPlace,
} from '#shared/block/work-log.ts';
import { equalBytes } from '#shared/crypto/bytes.ts';
import { flipBit, readVectors } from '#test/helpers/vectors.ts';

interface Case {
  network: Uint8Array;
  kind: WorkKind;
  before: WorkPlace;
  at: number;
  work: (Omit<Work, 'credit'> & { credit: number | bigint })[];
  units: Uint8Array[];
  after: WorkPlace;
}
const logs = readVectors<{ logs: Case[] }>('work').logs.map((c) => ({
  ...c,
  work: c.work.map((done): Work => ({ ...done, credit: BigInt(done.credit) })),
}));

test('units and places are those of the vectors', () => {
  for (const { network, kind, before: place, at, work, units, after } of logs) {
    const linked = linkUnits(network, { kind, place }, { work, at });
    assert.deepEqual(
      linked.units.map(({ bytes }) => bytes),
      units,
    );
    assert.deepEqual(linked.place, after);
    for (const { unit, bytes } of linked.units) {
      assert.deepEqual(decodeUnit(bytes), unit);
      assert.deepEqual(encodeUnit(unit), bytes);
    }
  }
});

test('every changed bit of a unit is refused or changes its digest and its meaning', () => {
  const { network, units } = logs[0]!;
  const [bytes] = units as [Uint8Array];
  for (let bit = 0; bit < bytes.length * 8; bit++) {
    const bad = flipBit(bytes, bit);
    assert.ok(!equalBytes(unitDigest(network, bad), unitDigest(network, bytes)));
    try {
      assert.notDeepEqual(decodeUnit(bad), decodeUnit(bytes), `bit ${bit}`);
    } catch (error) {
      assert.equal((error as { code?: string }).code, 'BLOCK_ENCODING', `bit ${bit}: ${error}`);
    }
  }
});

test('JOURNAL: work without credit', () => {
  const { network, kind, before: place, work } = logs[0]!;
  const idle = { ...work[0]!, credit: 0n };
  assert.throws(() => linkUnits(network, { kind, place }, { work: [idle], at: 0 }), { code: 'JOURNAL' });
});
