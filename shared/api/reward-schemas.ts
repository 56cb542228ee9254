import { z } from 'zod';

/* Who shares rewards, and why a reward was paid as it was. Amounts are base units, credits plain numbers: decimal text. */

const hex32 = z.string().regex(/^[0-9a-f]{64}$/);
const hex33 = z.string().regex(/^[0-9a-f]{66}$/);
const digits = z.string().regex(/^[0-9]{1,100}$/);
const count = z.int().nonnegative();
const kind = z.enum(['evaluation', 'grinding']);
const scheme = z.enum(['pplns', 'prop', 'solo']);

export const sharesQuerySchema = z.strictObject({
  /** Of one account alone. */
  address: z.string().optional(),
  /** Accounts and workers of each kind at most, those with the most credit first. */
  limit: z
    .string()
    .regex(/^[0-9]{1,5}$/, 'expected digits')
    .transform(Number)
    .pipe(z.number().min(1).max(10_000))
    .default(100),
});
export type SharesQuery = z.infer<typeof sharesQuerySchema>;

const windowShape = {
  kind,
  scheme,
  /** Numbers in the log of the first unit that shares, and of the one behind the last. */
  from: count,
  to: count,
  /** Of all that share. */
  units: count,
  credit: digits,
  /** What is split over the credit. */
  amount: digits,
};

/** `GET /pool/shares`: who would share a reward that was planned now, for the usual gain. */
export const poolSharesSchema = z.strictObject({
  reward: digits,
  windows: z.array(
    z.strictObject({
      ...windowShape,
      accounts: z.array(
        z.strictObject({ address: z.string(), units: count, credit: digits, expected: digits }),
      ),
      /** Each for the account that its units name: that of its owner. */
      workers: z.array(z.strictObject({ worker: hex33, address: z.string(), units: count, credit: digits })),
    }),
  ),
});
export type PoolSharesView = z.infer<typeof poolSharesSchema>;

/** `GET /pool/payouts/:submission`: each step from the Meta block to the last unit. */
export const payoutSchema = z.strictObject({
  submission: hex32,
  /** B height of the block that seals it, and the Meta block that rules it. */
  height: count,
  meta: z.strictObject({ index: count, hash: hex32 }),
  terms: z.strictObject({
    /** The Meta block's units, halved so often after so many sealed submissions. */
    units: digits,
    sealed_before: count,
    halvings: count,
    halved: digits,
    /** Of the certificate's first attestation: Σ(base − candidate) over its windows. */
    gain_sum_micro_nats: z.string().regex(/^-?[0-9]{1,30}$/),
    gain_windows: count,
    /** Against the usual gain, within the bounds. */
    gain_bp: digits,
    /** halved · gain_bp / 10,000, before the cap of the supply. */
    by_gain: digits,
    /** What the cap left of it. */
    fresh: digits,
    /** Forfeited since the reward before, and added. */
    forfeited: digits,
    reward: digits,
  }),
  split: z.array(z.strictObject({ kind: z.string(), bp: count, amount: digits })),
  windows: z.array(
    z.strictObject({
      ...windowShape,
      accounts: z.array(
        z.strictObject({
          address: z.string(),
          units: count,
          credit: digits,
          /** Credit of the accounts before it: its amount is ⌊(before + credit) · A / C⌋ − ⌊before · A / C⌋. */
          before: digits,
          amount: digits,
          /** Where it went: the address, or the account in which its parts gather. */
          paid_to: z.string(),
        }),
      ),
    }),
  ),
  vesting_bp: count,
  /** Null without one. */
  min_payout: digits.nullable(),
  entries: z.array(
    z.strictObject({
      seq: count,
      kind: z.string(),
      from: z.string().nullable(),
      to: z.string().nullable(),
      amount: digits,
    }),
  ),
});
export type PayoutView = z.infer<typeof payoutSchema>;
