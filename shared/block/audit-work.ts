import type { Seal } from '#shared/block/body.ts';
import {
  decodeUnit,
  unitDigest,
  type WorkKind,
  type WorkPlace,
  type WorkUnit,
} from '#shared/block/work-log.ts';
import { equalBytes, toHex, ZERO_32 } from '#shared/crypto/bytes.ts';
import { parseAddress } from '#shared/crypto/keys.ts';
import { must } from '#shared/errors/pool-error.ts';
import { meetsTarget } from '#shared/pow/target.ts';
import { shareTarget } from '#shared/pow/vardiff.ts';

/**
 * Replays one log of work from its first unit and holds it against the seals that name its places. First all seals,
 * then the units in order. PROTOCOL §10. JOURNAL where a unit does not follow, repeats work, or a seal names another.
 */
export class WorkAudit {
  readonly #networkId: Uint8Array;
  readonly #kind: WorkKind;
  readonly #places = new Map<number, { height: number; head: Uint8Array }[]>();
  readonly #refs = new Set<string>();
  #place: WorkPlace = { seq: 0, head: ZERO_32 };

  constructor(networkId: Uint8Array, kind: WorkKind) {
    this.#networkId = networkId;
    this.#kind = kind;
  }

  get place(): WorkPlace {
    return this.#place;
  }

  /** A seal of B height `height`, in any order, before the first unit. */
  seal(height: number, { work }: Pick<Seal, 'work'>): void {
    const { seq, head } = work[this.#kind];
    if (seq === 0) return this.#compare({ height, head });
    const named = this.#places.get(seq) ?? [];
    named.push({ height, head });
    this.#places.set(seq, named);
  }

  append(bytes: Uint8Array): WorkUnit {
    const unit = decodeUnit(bytes);
    const { seq, head } = this.#place;
    must(
      unit.kind === this.#kind && unit.seq === seq && equalBytes(unit.prev, head),
      'JOURNAL',
      () => `expected ${this.#kind} unit ${seq} on ${toHex(head)}, got ${unit.kind} unit ${unit.seq}`,
    );
    must(unit.credit > 0n, 'JOURNAL', 'expected a credit above zero');
    must(
      parseAddress(unit.address) === unit.address,
      'ADDRESS',
      () => `expected a checksummed address, got ${unit.address}`,
    );
    must(
      unit.kind === 'evaluation' || meetsTarget(unit.ref, shareTarget(unit.credit)),
      'JOURNAL',
      () => `hash ${toHex(unit.ref)} is not as rare as a credit of ${unit.credit}`,
    );
    const ref = unit.kind === 'evaluation' ? toHex(unit.ref) + toHex(unit.worker) : toHex(unit.ref);
    must(!this.#refs.has(ref), 'JOURNAL', () => `${toHex(unit.ref)} was credited before`);
    this.#refs.add(ref);
    this.#place = { seq: seq + 1, head: unitDigest(this.#networkId, bytes) };
    for (const named of this.#places.get(seq + 1) ?? []) this.#compare(named);
    this.#places.delete(seq + 1);
    return unit;
  }

  /** At the end of the log: JOURNAL where a seal up to B height `upTo` names a unit that it does not have. */
  finish(upTo: number): void {
    for (const [seq, seals] of this.#places)
      for (const { height } of seals)
        must(
          height > upTo,
          'JOURNAL',
          `B${height}: it was made on a log of ${seq} ${this.#kind} units; there are ${this.#place.seq}`,
        );
  }

  #compare({ height, head }: { height: number; head: Uint8Array }): void {
    must(
      equalBytes(head, this.#place.head),
      'JOURNAL',
      () =>
        `B${height}: it was made on ${this.#place.seq} ${this.#kind} units up to ${toHex(head)}, here that is ${toHex(this.#place.head)}`,
    );
  }
}
