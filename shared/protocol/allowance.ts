import { z } from 'zod';
import { fromHex } from '#shared/crypto/bytes.ts';
import { parseAddress } from '#shared/crypto/keys.ts';
import { must } from '#shared/errors/pool-error.ts';
import { wholeNumber } from '#shared/protocol/transfer.ts';
import { DOMAIN_FIELDS, domainOf, typedDigest } from '#shared/protocol/typed-data.ts';

/** What an account lets its chats cost, as its owner signs it: whoever shows it may spend it. PROTOCOL §16. */
export interface Allowance {
  readonly account: string;
  /** Base units in all. */
  readonly limit: bigint;
  /** Any number: two allowances of the same limit and time are different. */
  readonly nonce: bigint;
  /** Unix seconds after which it is void. */
  readonly expiry: bigint;
}

const MAX_UNITS = 2n ** 64n - 1n;
const MAX_EXPIRY = 253_402_300_799n;
const FIELDS = [
  { name: 'account', type: 'address' },
  { name: 'limit', type: 'uint256' },
  { name: 'nonce', type: 'uint256' },
  { name: 'expiry', type: 'uint256' },
] as const;

/** The typed data of EIP-712 that a wallet shows and signs; numbers as decimal text. */
export function allowanceTypedData(networkId: Uint8Array, { account, limit, nonce, expiry }: Allowance) {
  return {
    types: { EIP712Domain: [...DOMAIN_FIELDS], ChatAllowance: [...FIELDS] },
    primaryType: 'ChatAllowance' as const,
    domain: domainOf(networkId),
    message: { account, limit: `${limit}`, nonce: `${nonce}`, expiry: `${expiry}` },
  };
}

/** What is signed. */
export function allowanceDigest(networkId: Uint8Array, allowance: Allowance): Uint8Array {
  const { account, limit, nonce, expiry } = allowance;
  return typedDigest(networkId, { type: 'ChatAllowance', fields: FIELDS }, [account, limit, nonce, expiry]);
}

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
