import { z } from 'zod';
import { BUCKET, bucketKey, bucketRange } from '#coordinator/store/keys.ts';
import { type KV, type KvOp, put } from '#coordinator/store/kv.ts';
import { type CborValue, decodeCborAs, encodeCbor, zUint } from '#shared/block/cbor.ts';
import { toHex } from '#shared/crypto/bytes.ts';
import { STANDINGS, type Standing } from '#shared/protocol/standing.ts';

/** As the first version wrote it. */
const firstSchema = z.strictObject({ v: z.literal(1), name: z.string(), at: zUint });
const storedSchema = z.strictObject({
  v: z.literal(2),
  name: z.string(),
  at: zUint,
  owner: z.string().nullable(),
  token: z.string().nullable(),
  standing: z.enum(STANDINGS),
  seen: zUint,
  left: z.boolean(),
});

/** What the pool knows of a key that may attach. */
export interface EnrolledWorker {
  /** As it called itself when it was last here. */
  readonly name: string;
  /** When it was enrolled, Unix milliseconds. */
  readonly at: number;
  /** Address that it works for; null where nobody has said: then its own. */
  readonly owner: string | null;
  /** Id of the one-time token that enrolled it; null for the pool's own token. */
  readonly token: string | null;
  readonly standing: Standing;
  /** When it was last here, Unix milliseconds; 0 for never. */
  readonly seen: number;
  /** It said goodbye, so that nobody need look for it. */
  readonly left: boolean;
}

/** The keys that are enrolled: in memory, and in the store. */
export class EnrolledWorkers {
  readonly #kv: KV;
  /** By public key, hex. */
  readonly #known = new Map<string, EnrolledWorker>();

  private constructor(kv: KV) {
    this.#kv = kv;
  }

  static async open(kv: KV): Promise<EnrolledWorkers> {
    const workers = new EnrolledWorkers(kv);
    for await (const [key, value] of kv.entries(bucketRange(BUCKET.worker)))
      workers.#known.set(toHex(key.subarray(1)), read(value));
    return workers;
  }

  of(publicKey: Uint8Array): EnrolledWorker | undefined {
    return this.#known.get(toHex(publicKey));
  }

  /** Public key (hex) and what is known of it. */
  all(): (readonly [publicKey: string, worker: EnrolledWorker])[] {
    return [...this.#known];
  }

  /** In one batch with `also`; in memory once it is written. */
  async put(
    publicKey: Uint8Array,
    worker: EnrolledWorker,
    { durable, also = [] }: { readonly durable: boolean; readonly also?: readonly KvOp[] },
  ): Promise<void> {
    const stored = { v: 2, ...worker } satisfies z.infer<typeof storedSchema>;
    const op = put(bucketKey(BUCKET.worker, publicKey), encodeCbor(stored as CborValue));
    await this.#kv.batch([op, ...also], { durable });
    this.#known.set(toHex(publicKey), worker);
  }
}

function read(bytes: Uint8Array): EnrolledWorker {
  const { v, ...stored } = decodeCborAs(z.union([storedSchema, firstSchema]), bytes, 'Worker');
  return { owner: null, token: null, standing: 'active', seen: 0, left: true, ...stored };
}
