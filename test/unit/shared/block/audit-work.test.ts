import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { WorkAudit } from '#shared/block/audit-work.ts';
import type { Seal } from '#shared/block/body.ts';
import {
  decodeUnit,
  linkUnits,
  NO_WORK,
  WORK_KINDS,
  type WorkKind,
  type WorkUnit,
} from '#shared/block/work-log.ts';
import { bodyAt, CHAIN, changed, NETWORK } from '#test/helpers/forge.ts';

const seals = [15, 18, 19].map((height) => ({ height, seal: bodyAt(height).seal as Seal }));

function replay(kind: WorkKind, units: readonly Uint8Array[], upTo = 19): WorkAudit {
  const audit = new WorkAudit(NETWORK, kind);
  for (const { height, seal } of seals) audit.seal(height, seal);
  for (const unit of units) audit.append(unit);
  audit.finish(upTo);
  return audit;
}

/** Units linked anew, as whoever keeps the log could do. */
function relinked(kind: WorkKind, change: (unit: WorkUnit, i: number) => Partial<WorkUnit>): Uint8Array[] {
  const work = CHAIN.work[kind].map(decodeUnit).map((unit, i) => ({ ...unit, ...change(unit, i) }));
  return linkUnits(NETWORK, { kind, place: NO_WORK[kind] }, { work, at: work[0]?.at ?? 0 }).units.map(
    ({ bytes }) => bytes,
  );
}

describe('WorkAudit', () => {
  for (const kind of WORK_KINDS) {
    const units = CHAIN.work[kind];

    it(`takes the ${kind} log that another implementation made`, () => {
      assert.equal(replay(kind, units).place.seq, units.length);
    });

    it(`JOURNAL: ${kind} units changed, left out, exchanged or of the other kind`, () => {
      const other = CHAIN.work[kind === 'grinding' ? 'evaluation' : 'grinding'];
      for (const bad of [units.slice(1), [...units].reverse(), [units[0]!, ...units], other])
        assert.throws(() => replay(kind, bad), { code: 'JOURNAL' });
      const raised = relinked(kind, ({ credit }) => ({ credit: credit + 1n }));
      assert.throws(() => replay(kind, raised), { code: 'JOURNAL' });
    });

    it(`JOURNAL: a ${kind} log that is shorter than a seal says, unless it is newer`, () => {
      assert.throws(() => replay(kind, []), { code: 'JOURNAL' });
      replay(kind, [], 18);
    });
  }

  it('JOURNAL: a hash that is credited twice, an attestation that is', () => {
    const twice = (kind: WorkKind) => {
      const audit = new WorkAudit(NETWORK, kind);
      const [first] = CHAIN.work[kind].map(decodeUnit) as [WorkUnit];
      const { units } = linkUnits(NETWORK, { kind, place: NO_WORK[kind] }, { work: [first, first], at: 0 });
      audit.append(units[0]!.bytes);
      audit.append(units[1]!.bytes);
    };
    for (const kind of WORK_KINDS) assert.throws(() => twice(kind), { code: 'JOURNAL' });
  });

  it('JOURNAL: a seal that names units before the first', () => {
    const audit = new WorkAudit(NETWORK, 'grinding');
    const named = { ...NO_WORK, grinding: { seq: 0, head: changed(NO_WORK.grinding.head, 0) } };
    assert.throws(() => audit.seal(18, { work: named }), { code: 'JOURNAL' });
  });

  it('ADDRESS: a payee that is none', () => {
    const bad = relinked('grinding', ({ address }) => ({ address: address.toLowerCase() }));
    assert.throws(() => replay('grinding', bad), { code: 'ADDRESS' });
  });
});
