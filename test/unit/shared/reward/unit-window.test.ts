import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { sha256 } from '@noble/hashes/sha2.js';
import fc from 'fast-check';
import type { WorkKind } from '#shared/block/work-log.ts';
import { compareBytes, toHex } from '#shared/crypto/bytes.ts';
import { UnitWindow, type WindowUnit, windowSpan } from '#shared/reward/unit-window.ts';
import { readVectors } from '#test/helpers/vectors.ts';

type Scheme = 'pplns' | 'prop' | 'solo';
type Holding = [worker: string, address: string, units: number, credit: number | bigint];

const { people, windows } = readVectors<{
  people: [Uint8Array, string][];
  windows: {
    name: string;
    window_units: number;
    units: string[];
    runs: {
      scheme: Scheme;
      kind: WorkKind;
      plans: { sealed: number; next: number; holdings: Holding[] }[];
    }[];
  }[];
}>('rewards');

function unitsOf(listed: readonly string[]): WindowUnit[] {
  return listed.map((text, i) => {
    const [worker, owner, credit] = text.split(' ') as [string, string, string];
    return {
      worker: people[Number(worker)]?.[0] as Uint8Array,
      address: people[Number(owner)]?.[1] as string,
      credit: BigInt(credit),
      ref: sha256(Uint8Array.of(i % 256, i >> 8)),
    };
  });
}

const sorted = (held: UnitWindow, span: Parameters<UnitWindow['holdings']>[0]): Holding[] =>
  held
    .holdings(span)
    .map(({ worker, address, units, credit }): Holding => [worker, address, units, credit])
    .sort(([a, x], [b, y]) => (a + x < b + y ? -1 : 1));

describe('UnitWindow', () => {
  for (const { name, window_units, units: listed, runs } of windows)
    it(`shares as the vectors do: ${name}`, () => {
      const units = unitsOf(listed);
      for (const { scheme, kind, plans } of runs) {
        const window = new UnitWindow();
        for (const { sealed, next, holdings } of plans) {
          for (const unit of units.slice(window.next, next)) window.add(unit);
          const span = windowSpan({ scheme, window_units }, kind, { sealed, next });
          const expected = holdings.map(([w, a, count, credit]) => [w, a, count, BigInt(credit)]);
          assert.deepEqual(sorted(window, span), expected, `${scheme} ${kind} of ${next}`);
          window.forget(Math.min(span.from, sealed));
        }
      }
    });

  it('has the sums of a window that was read anew, however its beginning moves', () => {
    const step = fc.record({ add: fc.nat(30), back: fc.nat(60), forget: fc.nat(80) });
    const credit = fc.bigInt({ min: 1n, max: 1n << 70n });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 30 }), fc.infiniteStream(credit), (steps, credits) => {
        const all: WindowUnit[] = [];
        const window = new UnitWindow();
        for (const { add, back, forget } of steps) {
          for (let i = 0; i < add; i++) {
            const [worker] = people[all.length % 5] as [Uint8Array, string];
            const [, address] = people[all.length % 3] as [Uint8Array, string];
            const ref = sha256(Uint8Array.of(all.length % 256, all.length >> 8));
            const unit = { worker, address, credit: credits.next().value as bigint, ref };
            all.push(unit);
            window.add(unit);
          }
          const from = Math.max(window.first, all.length - back);
          const span = { from, to: all.length, lowestAlone: false };
          const again = new UnitWindow(from);
          for (const unit of all.slice(from)) again.add(unit);
          assert.deepEqual(sorted(window, span), sorted(again, span));
          const [lowest] = [...all.slice(from)].sort((a, b) => compareBytes(a.ref, b.ref));
          assert.deepEqual(
            sorted(window, { ...span, lowestAlone: true }),
            lowest ? [[toHex(lowest.worker), lowest.address, 1, lowest.credit]] : [],
          );
          window.forget(all.length - forget);
        }
      }),
    );
  });

  it('INTERNAL: a span that it does not hold', () => {
    const window = new UnitWindow(5);
    for (const [from, to] of [
      [4, 5],
      [5, 6],
      [6, 5],
    ] as const)
      assert.throws(() => window.holdings({ from, to, lowestAlone: false }), { code: 'INTERNAL' });
    assert.deepEqual(window.holdings({ from: 5, to: 5, lowestAlone: false }), []);
  });
});

describe('windowSpan', () => {
  it('begins where the scheme says', () => {
    const place = { sealed: 70, next: 100 };
    const begins = (scheme: Scheme | undefined, kind: WorkKind) =>
      windowSpan({ ...(scheme && { scheme }), window_units: 40 }, kind, place).from;
    assert.deepEqual([begins(undefined, 'evaluation'), begins('pplns', 'grinding')], [60, 60]);
    assert.deepEqual([begins('prop', 'evaluation'), begins('prop', 'grinding')], [70, 70]);
    assert.deepEqual([begins('solo', 'evaluation'), begins('solo', 'grinding')], [99, 70]);
  });
});
