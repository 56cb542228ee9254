import { BUCKET, bucketKey, bucketRange } from '#coordinator/store/keys.ts';
import { type KV, type KvOp, put } from '#coordinator/store/kv.ts';
import {
  decodeUnit,
  linkUnits,
  unitDigest,
  type Work,
  type WorkKind,
  type WorkPlace,
  type WorkPlaces,
  type WorkUnit,
} from '#shared/block/work-log.ts';
import { u64be, ZERO_32 } from '#shared/crypto/bytes.ts';

/** Ids of the kinds on disk. */
const KIND_ID = { evaluation: 1, grinding: 2 } as const satisfies Record<WorkKind, number>;

/** What an append will write, and the place of the log once it is on disk. */
export interface PreparedUnits {
  readonly kind: WorkKind;
  readonly ops: readonly KvOp[];
  readonly units: readonly WorkUnit[];
  readonly place: WorkPlace;
}

type UnitListener = (kind: WorkKind, units: readonly WorkUnit[]) => void;

/**
 * The hash-linked logs of credited work, one per kind: rewards are split over their newest units. Evaluations are
 * appended under the store's write lock, shares by the share log alone; `apply` comes when the ops of `prepare` are on
 * the disk.
 */
export class WorkUnits {
  readonly #kv: KV;
  readonly #networkId: Uint8Array;
  #places: WorkPlaces;
  #onAppended: UnitListener = () => {};

  private constructor(kv: KV, networkId: Uint8Array, places: WorkPlaces) {
    this.#kv = kv;
    this.#networkId = networkId;
    this.#places = places;
  }

  static async open(kv: KV, networkId: Uint8Array): Promise<WorkUnits> {
    const place = (kind: WorkKind) => storedPlace(kv, networkId, kind);
    return new WorkUnits(kv, networkId, {
      evaluation: await place('evaluation'),
      grinding: await place('grinding'),
    });
  }

  /** How far both logs have come, on the disk. */
  get places(): WorkPlaces {
    return this.#places;
  }

  /** The newest `limit` units of those below number `below`, newest first. */
  async newest(kind: WorkKind, limit: number, below: number = this.#places[kind].seq): Promise<WorkUnit[]> {
    const { gte } = bucketRange(BUCKET.workUnit, Uint8Array.of(KIND_ID[kind]));
    const range = { gte, lt: unitKey(kind, below), reverse: true, limit };
    const out: WorkUnit[] = [];
    for await (const [, value] of this.#kv.entries(range)) out.push(decodeUnit(value));
    return out;
  }

  /** Encoded units from number `from`, at most `limit`. */
  async encoded(kind: WorkKind, from: number, limit: number): Promise<Uint8Array[]> {
    const { lt } = bucketRange(BUCKET.workUnit, Uint8Array.of(KIND_ID[kind]));
    const out: Uint8Array[] = [];
    for await (const [, value] of this.#kv.entries({ gte: unitKey(kind, from), lt, limit })) out.push(value);
    return out;
  }

  /** Links work onto the log of its kind. */
  prepare(kind: WorkKind, work: readonly Work[], at: number): PreparedUnits {
    const { units, place } = linkUnits(this.#networkId, { kind, place: this.#places[kind] }, { work, at });
    return {
      kind,
      ops: units.flatMap(({ unit, bytes }) => [put(unitKey(kind, unit.seq), bytes), ...unitIndexOps(unit)]),
      units: units.map(({ unit }) => unit),
      place,
    };
  }

  /** To be called when the ops of `prepare` are on disk. */
  apply({ kind, place, units }: Pick<PreparedUnits, 'kind' | 'place' | 'units'>): void {
    this.#places = { ...this.#places, [kind]: place };
    this.#onAppended(kind, units);
  }

  /** Who is told of units that are on the disk: of all later ones, in their order. */
  onAppended(listener: UnitListener): void {
    this.#onAppended = listener;
  }

  /** Which of these hashes a share was credited for before. */
  async areCredited(hashes: readonly Uint8Array[]): Promise<boolean[]> {
    const found = await this.#kv.getMany(hashes.map(shareKey));
    return found.map((value) => value !== undefined);
  }
}

/** What follows from a unit: a share by its hash. */
export function unitIndexOps({ kind, ref, seq }: WorkUnit): KvOp[] {
  return kind === 'grinding' ? [put(shareKey(ref), u64be(seq))] : [];
}

/** All units of a log in order, encoded. */
export async function* unitsOf(kv: KV, kind: WorkKind): AsyncGenerator<Uint8Array> {
  for await (const [, value] of kv.entries(bucketRange(BUCKET.workUnit, Uint8Array.of(KIND_ID[kind]))))
    yield value;
}

const unitKey = (kind: WorkKind, seq: number) =>
  bucketKey(BUCKET.workUnit, Uint8Array.of(KIND_ID[kind]), seq);
const shareKey = (hash: Uint8Array) => bucketKey(BUCKET.shareHash, hash);

async function storedPlace(kv: KV, networkId: Uint8Array, kind: WorkKind): Promise<WorkPlace> {
  const range = { ...bucketRange(BUCKET.workUnit, Uint8Array.of(KIND_ID[kind])), reverse: true, limit: 1 };
  for await (const [, value] of kv.entries(range))
    return { seq: decodeUnit(value).seq + 1, head: unitDigest(networkId, value) };
  return { seq: 0, head: ZERO_32 };
}
