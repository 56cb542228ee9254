import { z } from 'zod';
import { BUCKET, bucketKey, bucketRange } from '#coordinator/store/keys.ts';
import { type KV, type KvOp, put } from '#coordinator/store/kv.ts';
import { type CborValue, decodeCborAs, encodeCbor, zBigUint, zBytes, zUint } from '#shared/block/cbor.ts';
import { readU64be } from '#shared/crypto/bytes.ts';

/** The two kinds of work; each has its own window and its own slice of the reward. Ids are on disk. */
export const WORK_KINDS = { evaluation: 1, grinding: 2 } as const;
export type WorkKind = keyof typeof WORK_KINDS;

const unitSchema = z.strictObject({
  worker: zBytes(33),
  /** Address that is paid for it. */
  address: z.string(),
  /** evaluation: tokens × parameters; grinding: expected hashes. */
  credit: zBigUint,
  /** Submission it was done for. */
  ref: zBytes(32),
  at: zUint,
});
export type WorkUnit = z.infer<typeof unitSchema>;

/** The log of credited work, per kind and in order: rewards are split over its newest entries. */
export class WorkUnits {
  readonly #kv: KV;
  readonly #next: Record<WorkKind, number>;

  private constructor(kv: KV, next: Record<WorkKind, number>) {
    this.#kv = kv;
    this.#next = next;
  }

  static async open(kv: KV): Promise<WorkUnits> {
    return new WorkUnits(kv, {
      evaluation: await nextSequence(kv, 'evaluation'),
      grinding: await nextSequence(kv, 'grinding'),
    });
  }

  /** The newest `limit` units, newest first. */
  async newest(kind: WorkKind, limit: number): Promise<WorkUnit[]> {
    const range = { ...bucketRange(BUCKET.workUnit, Uint8Array.of(WORK_KINDS[kind])), reverse: true, limit };
    const out: WorkUnit[] = [];
    for await (const [, value] of this.#kv.entries(range))
      out.push(decodeCborAs(unitSchema as unknown as z.ZodType<WorkUnit>, value, 'Work unit'));
    return out;
  }

  /** Ops that append units; the caller writes them and calls `apply` with the same counts. */
  appendOps(kind: WorkKind, units: readonly WorkUnit[]): KvOp[] {
    const first = this.#next[kind];
    return units.map((unit, i) =>
      put(
        bucketKey(BUCKET.workUnit, Uint8Array.of(WORK_KINDS[kind]), first + i),
        encodeCbor(unit as unknown as CborValue),
      ),
    );
  }

  apply(kind: WorkKind, count: number): void {
    this.#next[kind] += count;
  }
}

async function nextSequence(kv: KV, kind: WorkKind): Promise<number> {
  const range = { ...bucketRange(BUCKET.workUnit, Uint8Array.of(WORK_KINDS[kind])), reverse: true, limit: 1 };
  for await (const [key] of kv.entries(range)) return Number(readU64be(key, 2)) + 1;
  return 0;
}
