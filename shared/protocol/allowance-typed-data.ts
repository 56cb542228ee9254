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
