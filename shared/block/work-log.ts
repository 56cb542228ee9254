import { z } from 'zod';
import { type CborValue, decodeCborAs, encodeCbor, zBigUint, zBytes, zUint } from '#shared/block/cbor.ts';
import { ZERO_32 } from '#shared/crypto/bytes.ts';
import { digest } from '#shared/crypto/digest.ts';
import { must } from '#shared/errors/pool-error.ts';

/** The two kinds of work; each has its own log, its own window and its own slice of the reward. Wire values. */
export const WORK_KINDS = ['evaluation', 'grinding'] as const;
export type WorkKind = (typeof WORK_KINDS)[number];

const workShape = {
  /** Key of the worker that did it. */
  worker: zBytes(33),
  /** Address that is paid for it: that of the worker's owner. */
  address: z.string(),
  /** evaluation: tokens × parameters; grinding: hashes that the share took on average. */
  credit: zBigUint,
  /** evaluation: the submission; grinding: the hash that the share has. */
  ref: zBytes(32),
};
const unitSchema = z.strictObject({
  v: z.literal(1),
  kind: z.enum(WORK_KINDS),
  seq: zUint,
  prev: zBytes(32),
  at: zUint,
  ...workShape,
});

/** Work that was done, before it has its place in a log. */
export type Work = z.infer<z.ZodObject<typeof workShape>>;
/** A unit of credited work, linked to the one of its kind before it. PROTOCOL §10. */
export type WorkUnit = z.infer<typeof unitSchema>;

/** How far a log has come. */
export interface WorkPlace {
  /** Number of units. */
  readonly seq: number;
  /** Digest of the newest unit; zero where there is none. */
  readonly head: Uint8Array;
}
export type WorkPlaces = Readonly<Record<WorkKind, WorkPlace>>;

/** Both logs before the first unit. */
export const NO_WORK: WorkPlaces = {
  evaluation: { seq: 0, head: ZERO_32 },
  grinding: { seq: 0, head: ZERO_32 },
};

export function decodeUnit(bytes: Uint8Array): WorkUnit {
  return decodeCborAs(unitSchema as unknown as z.ZodType<WorkUnit>, bytes, 'Work unit');
}

export function encodeUnit(unit: WorkUnit): Uint8Array {
  return encodeCbor(unit as unknown as CborValue);
}

export function unitDigest(networkId: Uint8Array, encoded: Uint8Array): Uint8Array {
  return digest('work', networkId, encoded);
}

export interface LinkedUnits {
  readonly units: readonly { readonly unit: WorkUnit; readonly bytes: Uint8Array }[];
  readonly place: WorkPlace;
}

/** Links work onto the log of its kind: the units and the place after them. */
export function linkUnits(
  networkId: Uint8Array,
  log: { readonly kind: WorkKind; readonly place: WorkPlace },
  appended: { readonly work: readonly Work[]; readonly at: number },
): LinkedUnits {
  let { seq, head } = log.place;
  const units = appended.work.map(({ worker, address, credit, ref }) => {
    must(credit > 0n, 'JOURNAL', 'expected a credit above zero');
    const unit: WorkUnit = {
      ...{ v: 1, kind: log.kind, seq, prev: head, at: appended.at },
      ...{ worker, address, credit, ref },
    };
    const bytes = encodeUnit(unit);
    head = unitDigest(networkId, bytes);
    seq += 1;
    return { unit, bytes };
  });
  return { units, place: { seq, head } };
}
