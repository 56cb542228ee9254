import { z } from 'zod';
import { fromHex } from '#shared/crypto/bytes.ts';
import { parseAddress } from '#shared/crypto/keys.ts';
import { must } from '#shared/errors/pool-error.ts';
import type { Allowance } from '#shared/protocol/allowance-typed-data.ts';
import { wholeNumber } from '#shared/protocol/transfer.ts';

export {
  type Allowance,
  allowanceDigest,
  allowanceTypedData,
} from '#shared/protocol/allowance-typed-data.ts';

const MAX_UNITS = 2n ** 64n - 1n;
const MAX_EXPIRY = 253_402_300_799n;
/** An allowance as it is shown with a question: numbers as decimal text. */
export const allowanceSchema = z.strictObject({
  account: z.string(),
  limit: z.string(),
  nonce: z.string(),
  expiry: z.string(),
  signature: z.string(),
});
export type AllowanceRequest = z.infer<typeof allowanceSchema>;

export interface SignedAllowance {
  readonly allowance: Allowance;
  /** 65 bytes, r ‖ s ‖ v. Whether they are a signature is not checked here. */
  readonly signature: Uint8Array;
}

/** The fields in their one form: ADDRESS, AMOUNT, PAYMENT or SIGNATURE names the first that is not. */
export function parseAllowance(request: AllowanceRequest): SignedAllowance {
  const allowance = {
    account: parseAddress(request.account),
    limit: wholeNumber(request.limit, 'limit', { code: 'AMOUNT', least: 1n, most: MAX_UNITS }),
    nonce: wholeNumber(request.nonce, 'nonce', { code: 'PAYMENT', least: 0n, most: MAX_UNITS }),
    expiry: wholeNumber(request.expiry, 'expiry', { code: 'PAYMENT', least: 0n, most: MAX_EXPIRY }),
  };
  must(
    /^0x[0-9a-f]{130}$/i.test(request.signature),
    'SIGNATURE',
    'signature: expected 0x and 130 hex digits',
  );
  return { allowance, signature: fromHex(request.signature.slice(2).toLowerCase(), 65, 'signature') };
}
