import { BUCKET, bucketRange } from '#coordinator/store/keys.ts';
import type { KV } from '#coordinator/store/kv.ts';
import { bigintFromBytes } from '#shared/crypto/bytes.ts';

/** What the store says of all accounts at one moment. */
export interface AddedUp {
  readonly accounts: number;
  /** Σ balances. */
  readonly sum: bigint;
  readonly minted: bigint;
  readonly burned: bigint;
}

/** Accounts between two rests. */
const PART = 1_000;

/**
 * Adds up all balances, as they lie on the disk. Balances and totals come from one walk over their two neighbouring
 * buckets, so they are of the same moment whatever is written meanwhile. `rest` is awaited after every part.
 */
export async function addUp(kv: KV, rest: () => Promise<void> = async () => {}): Promise<AddedUp> {
  let [accounts, sum, minted, burned] = [0, 0n, 0n, 0n];
  const range = { gte: bucketRange(BUCKET.balance).gte, lt: bucketRange(BUCKET.journalHead).lt };
  for await (const [key, value] of kv.entries(range)) {
    if (key[0] === BUCKET.journalHead) {
      minted = bigintFromBytes(value.subarray(40, 72));
      burned = bigintFromBytes(value.subarray(72, 104));
      continue;
    }
    sum += bigintFromBytes(value);
    accounts += 1;
    if (accounts % PART === 0) await rest();
  }
  return { accounts, sum, minted, burned };
}
