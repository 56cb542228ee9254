import { z } from 'zod';
import { BUCKET, bucketKey, bucketRange } from '#coordinator/store/keys.ts';
import { type KV, put } from '#coordinator/store/kv.ts';
import { type CborValue, decodeCborAs, encodeCbor, zUint } from '#shared/block/cbor.ts';
import { toHex } from '#shared/crypto/bytes.ts';
import {
  afterAgreement,
  afterDisagreement,
  afterTimeout,
  isOut,
  NEWCOMER,
  type Reputation,
} from '#shared/pol/reputation.ts';

/** Long enough that lying does not pay, short enough for a machine that was repaired. */
const OUT_MS = 24 * 3600 * 1000;

const storedSchema = z.strictObject({
  v: z.literal(1),
  agreements: zUint,
  consecutive: zUint,
  disagreements: zUint,
  strikes: zUint,
  timeouts: zUint,
  /** Unix milliseconds; 0 where it never was out. */
  outUntil: zUint,
});
type Stored = z.infer<typeof storedSchema>;

const UNKNOWN: Stored = { v: 1, ...NEWCOMER, outUntil: 0 };

/** What the pool thinks of each worker key: in memory, and in the store so that a restart forgives nothing. */
export class Reputations {
  readonly #kv: KV;
  readonly #now: () => number;
  readonly #known = new Map<string, Stored>();
  #onOut: (worker: Uint8Array) => void = () => undefined;

  private constructor(kv: KV, now: () => number) {
    this.#kv = kv;
    this.#now = now;
  }

  static async open(kv: KV, now: () => number): Promise<Reputations> {
    const reputations = new Reputations(kv, now);
    for await (const [key, value] of kv.entries(bucketRange(BUCKET.reputation)))
      reputations.#known.set(
        toHex(key.subarray(1)),
        decodeCborAs(storedSchema as z.ZodType<Stored>, value, 'Reputation'),
      );
    return reputations;
  }

  /** Called when a worker is put out. */
  onOut(listener: (worker: Uint8Array) => void): void {
    this.#onOut = listener;
  }

  of(worker: Uint8Array): Reputation {
    const { v, outUntil, ...reputation } = this.#stored(worker);
    return reputation;
  }

  isOut(worker: Uint8Array): boolean {
    return this.#stored(worker).outUntil > this.#now();
  }

  agreed(worker: Uint8Array): Promise<void> {
    return this.#change(worker, afterAgreement);
  }

  disagreed(worker: Uint8Array): Promise<void> {
    return this.#change(worker, afterDisagreement);
  }

  timedOut(worker: Uint8Array): Promise<void> {
    return this.#change(worker, afterTimeout);
  }

  #stored(worker: Uint8Array): Stored {
    return this.#known.get(toHex(worker)) ?? UNKNOWN;
  }

  async #change(worker: Uint8Array, step: (before: Reputation) => Reputation): Promise<void> {
    const before = this.#stored(worker);
    const reputation = step(this.of(worker));
    const out = isOut(reputation);
    const outUntil = out ? this.#now() + OUT_MS : before.outUntil;
    const after: Stored = { v: 1, ...reputation, outUntil };
    this.#known.set(toHex(worker), after);
    const op = put(bucketKey(BUCKET.reputation, worker), encodeCbor(after as unknown as CborValue));
    await this.#kv.batch([op], { durable: false });
    if (out) this.#onOut(worker);
  }
}
