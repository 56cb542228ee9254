import type { Manifest } from '#shared/block/manifest.ts';
import type { WorkKind, WorkUnit } from '#shared/block/work-log.ts';
import { compareBytes, toHex } from '#shared/crypto/bytes.ts';
import { must } from '#shared/errors/pool-error.ts';

/** What a reward needs of a unit of work. Its address is that of the owner when it was credited. */
export type WindowUnit = Pick<WorkUnit, 'worker' | 'address' | 'credit' | 'ref'>;

/** What one worker has in a window for one address. */
export interface Holding {
  /** Public key of the worker, hex. */
  readonly worker: string;
  readonly address: string;
  readonly units: number;
  readonly credit: bigint;
}

/** Where a kind of work stood when the reward was planned. */
export interface WindowPlace {
  /** Units of the log that the seal before named. */
  readonly sealed: number;
  /** Units of the log now. */
  readonly next: number;
}

/** Units of a log that share a reward: those from `from` up to `to`, or of these one alone. */
export interface WindowSpan {
  readonly from: number;
  readonly to: number;
  /** The unit with the lowest `ref` takes all. */
  readonly lowestAlone: boolean;
}

/**
 * PROTOCOL §10: the units that share a reward. PPLNS: the newest `window_units`, across rewards. PROP: those since
 * the reward before. SOLO: one takes all. Of evaluations that is the newest; of grinding the share since the reward
 * before with the lowest hash, as its chance is that of the hashes spent: the newest would be that of whoever sends
 * the most shares, however small.
 */
export function windowSpan(
  { scheme, window_units }: Pick<Manifest['reward'], 'scheme' | 'window_units'>,
  kind: WorkKind,
  { sealed, next }: WindowPlace,
): WindowSpan {
  const newest = (units: number) => ({ from: Math.max(0, next - units), to: next, lowestAlone: false });
  if (scheme === 'prop') return { from: sealed, to: next, lowestAlone: false };
  if (scheme !== 'solo') return newest(window_units);
  return kind === 'evaluation' ? newest(1) : { from: sealed, to: next, lowestAlone: true };
}

/** Who units are credited to: one object for all of them. */
interface Party {
  readonly key: string;
  readonly worker: string;
  readonly address: string;
  /** Units of it that are kept. */
  kept: number;
}

interface Sum {
  units: number;
  credit: bigint;
}

/** A unit below which no later one is. */
interface Low {
  readonly number: number;
  readonly ref: Uint8Array;
}

/** Units that fell out are cut off the lists when they are this many. */
const CUT_UNITS = 4_096;

/**
 * The newer end of a log of work, added up per worker and address over a span that follows it: each unit is added
 * once and taken off once, so that no reward reads the log again. Of a unit it keeps its party and its credit alone:
 * windows are long. Pure: whoever replays the log has the same sums.
 */
export class UnitWindow {
  /** Number in the log of the first unit kept, and those from it on. */
  #first: number;
  #parties: Party[] = [];
  #credits: bigint[] = [];
  /** In the order of the log, each lower than those before it that are gone: the first of a span is its lowest. */
  #lows: Low[] = [];
  readonly #known = new Map<string, Party>();
  /** Units below are not in the sums. */
  #from: number;
  readonly #sums = new Map<Party, Sum>();

  /** `first` is the number of the unit that comes first. */
  constructor(first = 0) {
    this.#first = first;
    this.#from = first;
  }

  /** Number of the unit that comes next. */
  get next(): number {
    return this.#first + this.#parties.length;
  }

  /** Number of the oldest unit that a span can begin with. */
  get first(): number {
    return this.#first;
  }

  add({ worker, address, credit, ref }: WindowUnit): void {
    const number = this.next;
    this.#parties.push(this.#party(toHex(worker), address));
    this.#credits.push(credit);
    while (compareBytes(this.#lows.at(-1)?.ref ?? NOTHING, ref) > 0) this.#lows.pop();
    this.#lows.push({ number, ref });
    this.#count(number, 1);
  }

  /** What each worker has in the span, which ends with the newest unit. */
  holdings(span: WindowSpan): readonly Holding[] {
    must(
      span.from >= this.#first && span.from <= this.next && span.to === this.next,
      'INTERNAL',
      () => `units ${span.from} to ${span.to} are not those from ${this.#first} to ${this.next}`,
    );
    if (span.lowestAlone) return this.#lowest(span.from);
    this.#begin(span.from);
    return Array.from(this.#sums, ([{ worker, address }, sum]) => ({ worker, address, ...sum }));
  }

  /** Lets go of the units before number `first`. */
  forget(first: number): void {
    const count = Math.min(first, this.next) - this.#first;
    if (count < CUT_UNITS && count < this.#parties.length) return;
    this.#begin(Math.max(this.#from, this.#first + count));
    for (const party of this.#parties.splice(0, count)) {
      party.kept -= 1;
      if (party.kept === 0) this.#known.delete(party.key);
    }
    this.#credits.splice(0, count);
    this.#first += count;
    this.#lows = this.#lows.filter(({ number }) => number >= this.#first);
  }

  #party(worker: string, address: string): Party {
    const key = worker + address;
    const party = this.#known.get(key) ?? { key, worker, address, kept: 0 };
    if (party.kept === 0) this.#known.set(key, party);
    party.kept += 1;
    return party;
  }

  /** Moves the beginning of the sums: units leave them, or come back where the span grew. */
  #begin(from: number): void {
    for (; this.#from < from; this.#from++) this.#count(this.#from, -1);
    while (this.#from > from) this.#count(--this.#from, 1);
  }

  #count(number: number, by: 1 | -1): void {
    const party = this.#parties[number - this.#first] as Party;
    const credit = this.#credits[number - this.#first] as bigint;
    const sum = this.#sums.get(party) ?? { units: 0, credit: 0n };
    sum.units += by;
    sum.credit += BigInt(by) * credit;
    if (sum.units === 0) this.#sums.delete(party);
    else if (sum.units === by) this.#sums.set(party, sum);
  }

  #lowest(from: number): Holding[] {
    const low = this.#lows.find(({ number }) => number >= from);
    if (!low) return [];
    const { worker, address } = this.#parties[low.number - this.#first] as Party;
    return [{ worker, address, units: 1, credit: this.#credits[low.number - this.#first] as bigint }];
  }
}

/** Before all others. */
const NOTHING = new Uint8Array(0);
