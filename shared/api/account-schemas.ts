import { z } from 'zod';
import { digits, hex32 } from '#shared/api/common-schemas.ts';
import { adjustmentRequestSchema } from '#shared/protocol/adjustment.ts';
import { allowanceSchema } from '#shared/protocol/allowance.ts';

/** Accounts, entries, and what moves money. */

export const balanceSchema = z.strictObject({
  address: z.string(),
  /** Base units (10⁻⁸), as decimal text. */
  balance: z.string(),
});
export type BalanceView = z.infer<typeof balanceSchema>;

/** `GET /accounts/:address`; amounts are base units as decimal text. */
export const accountSchema = z.strictObject({
  ...balanceSchema.shape,
  /** Rewards that are not the account's yet. */
  vesting: z.string(),
  /** Parts below the minimum payout, which gather for it. */
  accrued: z.string(),
  /** Nonce of its next transfer. */
  nonce: z.string(),
});
export type AccountView = z.infer<typeof accountSchema>;

export const entriesQuerySchema = z.strictObject({
  /** Entries below this number; the newest ones when it is left out. */
  before: digits.optional(),
  limit: digits.pipe(z.number().min(1).max(1000)).default(100),
  format: z.enum(['json', 'csv']).default('json'),
});

/** An entry of the journal. */
export const entrySchema = z.strictObject({
  seq: z.number(),
  /** Unix milliseconds. */
  at: z.number(),
  kind: z.string(),
  /** What caused it: a submission, a transfer's digest. */
  ref: hex32,
  /** Null where it is minted. */
  from: z.string().nullable(),
  /** Null where it is burned. */
  to: z.string().nullable(),
  amount: z.string(),
  /** What the operator gave as the reason of an adjustment. */
  reason: z.string().optional(),
});
export type EntryView = z.infer<typeof entrySchema>;

export const entriesSchema = z.strictObject({
  address: z.string(),
  /** Newest first. */
  entries: z.array(entrySchema),
  /** `before` of the next page; null on the last. */
  next: z.number().nullable(),
});
export type EntriesView = z.infer<typeof entriesSchema>;

/** Answer of `POST /transfer`: it stands in the journal, on disk. */
export const transferSchema = z.strictObject({
  /** What was signed, and `ref` of the entry. */
  digest: hex32,
  entry: entrySchema,
});
export type TransferView = z.infer<typeof transferSchema>;

/** `GET /transfer/:digest`: all that was signed, so that anybody can check it. */
export const transferProofSchema = z.strictObject({
  ...transferSchema.shape,
  nonce: z.string(),
  expiry: z.string(),
  /** 65 bytes as 0x and hex. */
  signature: z.string(),
});
export type TransferProofView = z.infer<typeof transferProofSchema>;

/** `GET /chats/:ref`: what was reserved for a chat, and the allowance that its account signed for it. */
export const paidChatSchema = z.strictObject({
  ref: hex32,
  /** Digest of the allowance, and the number of this chat among those that it paid. */
  allowance: hex32,
  number: z.number(),
  reserved: z.string(),
  token_units: z.string(),
  signed: allowanceSchema,
});
export type PaidChatView = z.infer<typeof paidChatSchema>;

/** `POST /adjustments` and `GET /adjustments/:digest`: the entry, and what the operator signed for it. */
export const adjustmentSchema = z.strictObject({
  digest: hex32,
  entry: entrySchema,
  signed: adjustmentRequestSchema,
});
export type AdjustmentView = z.infer<typeof adjustmentSchema>;
