import { readU64be, toHex, u64be } from '#shared/crypto/bytes.ts';
import { must } from '#shared/errors/pool-error.ts';
import { BUCKET, bucketKey, bucketRange } from './keys.ts';
import { del, type KV, put } from './kv.ts';

/** A claim is for weights that are ready to be sent. */
export const CLAIM_MS = 24 * 3_600_000;
/** Ten megabytes of memory. */
const MAX_CLAIMS = 100_000;

/**
 * When somebody first showed the hash of a submission that was to come: salted, so that it tells nothing before the
 * submission opens it (PROTOCOL §9). Durable, for a day.
 */
export class Claims {
  readonly #kv: KV;
  readonly #now: () => number;
  /** Hex → Unix milliseconds, oldest first. */
  readonly #claims: Map<string, number>;

  private constructor(kv: KV, now: () => number, claims: Map<string, number>) {
    this.#kv = kv;
    this.#now = now;
    this.#claims = claims;
  }

  static async open(kv: KV, now: () => number): Promise<Claims> {
    const found: [string, number][] = [];
    for await (const [key, value] of kv.entries(bucketRange(BUCKET.claim)))
      found.push([toHex(key.subarray(1)), Number(readU64be(value))]);
    const claims = new Claims(kv, now, new Map(found.sort(([, a], [, b]) => a - b)));
    await claims.#forgetOld();
    return claims;
  }

  /** When the claim was first made; undefined where it never was, or a day ago. */
  timeOf(claim: Uint8Array): number | undefined {
    const at = this.#claims.get(toHex(claim));
    return at !== undefined && at > this.#now() - CLAIM_MS ? at : undefined;
  }

  /** Durable when it resolves; the same claim again keeps its first time. QUEUE_FULL where there are too many. */
  async add(claim: Uint8Array): Promise<{ at: number; isNew: boolean }> {
    const before = this.timeOf(claim);
    if (before !== undefined) return { at: before, isNew: false };
    await this.#forgetOld();
    must(this.#claims.size < MAX_CLAIMS, 'QUEUE_FULL', 'too many claims are open; try again later');
    const at = this.#now();
    this.#claims.set(toHex(claim), at);
    await this.#kv.batch([put(bucketKey(BUCKET.claim, claim), u64be(at))], { durable: true });
    return { at, isNew: true };
  }

  async #forgetOld(): Promise<void> {
    const old = [];
    for (const [claim, at] of this.#claims) {
      if (at > this.#now() - CLAIM_MS) break;
      old.push(claim);
    }
    if (old.length === 0) return;
    for (const claim of old) this.#claims.delete(claim);
    const ops = old.map((claim) => del(bucketKey(BUCKET.claim, Buffer.from(claim, 'hex'))));
    await this.#kv.batch(ops, { durable: false });
  }
}
