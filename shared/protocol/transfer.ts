import { z } from 'zod';
import type { Move } from '#shared/block/journal.ts';
import { fromHex } from '#shared/crypto/bytes.ts';
import { parseAddress } from '#shared/crypto/keys.ts';
import type { ErrorCode } from '#shared/errors/catalogue.ts';
import { must, PoolError } from '#shared/errors/pool-error.ts';
import { BURN_ADDRESS, type Transfer } from '#shared/protocol/transfer-typed-data.ts';

export {
  BURN_ADDRESS,
  type Transfer,
  transferDigest,
  transferTypedData,
} from '#shared/protocol/transfer-typed-data.ts';

/** Amounts of the journal are 64-bit. */
const MAX_AMOUNT = 2n ** 64n - 1n;
const MAX_NONCE = 2n ** 53n - 1n;
/** Unix seconds of the year 9999: a later one is a mistake in the unit. */
const MAX_EXPIRY = 253_402_300_799n;

/** `POST /transfer`: numbers as decimal text, since JSON's are not exact. */
export const transferRequestSchema = z.strictObject({
  from: z.string(),
  to: z.string(),
  amount: z.string(),
  nonce: z.string(),
  expiry: z.string(),
  signature: z.string(),
});
export type TransferRequest = z.infer<typeof transferRequestSchema>;

export interface SignedTransfer {
  readonly transfer: Transfer;
  /** 65 bytes, r ‖ s ‖ v. Whether they are a signature is not checked here. */
  readonly signature: Uint8Array;
}

/** The entry of the journal that a transfer makes, without its place. */
export function transferMove(ref: Uint8Array, { from, to, amount }: Transfer): Move {
  return to === BURN_ADDRESS
    ? { kind: 'burn', ref, from, to: null, amount }
    : { kind: 'transfer', ref, from, to, amount };
}

/** The fields in their one form: ADDRESS, AMOUNT, TRANSFER_FORM or SIGNATURE names the first that is not. */
export function parseTransfer(request: TransferRequest): SignedTransfer {
  const transfer = {
    from: parseAddress(request.from),
    to: parseAddress(request.to),
    amount: wholeNumber(request.amount, 'amount', { code: 'AMOUNT', least: 1n, most: MAX_AMOUNT }),
    nonce: wholeNumber(request.nonce, 'nonce', { code: 'TRANSFER_FORM', least: 0n, most: MAX_NONCE }),
    expiry: wholeNumber(request.expiry, 'expiry', { code: 'TRANSFER_FORM', least: 0n, most: MAX_EXPIRY }),
  };
  must(
    transfer.from !== transfer.to,
    'TRANSFER_FORM',
    'expected two different accounts, got a transfer to oneself',
  );
  must(
    /^0x[0-9a-f]{130}$/i.test(request.signature),
    'SIGNATURE',
    () => `signature: expected 0x and 130 hex digits, got ${JSON.stringify(request.signature.slice(0, 140))}`,
  );
  return { transfer, signature: fromHex(request.signature.slice(2).toLowerCase(), 65, 'signature') };
}

/** A number in plain digits, within a range; the code of the range where it is another text. */
export function wholeNumber(
  text: string,
  what: string,
  range: { code: ErrorCode; least: bigint; most: bigint },
): bigint {
  const { code, least, most } = range;
  const refuse = () =>
    new PoolError(
      code,
      `${what}: expected a whole number from ${least} to ${most} in plain digits, got ${JSON.stringify(text.slice(0, 40))}`,
    );
  if (!/^(0|[1-9][0-9]{0,19})$/.test(text)) throw refuse();
  const value = BigInt(text);
  if (value < least || value > most) throw refuse();
  return value;
}
