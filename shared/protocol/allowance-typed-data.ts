import { type TypedStruct, typedData, typedDigest } from '#shared/protocol/typed-data.ts';

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

const ALLOWANCE = {
  type: 'ChatAllowance',
  fields: [
    { name: 'account', type: 'address' },
    { name: 'limit', type: 'uint256' },
    { name: 'nonce', type: 'uint256' },
    { name: 'expiry', type: 'uint256' },
  ],
} as const satisfies TypedStruct;

/** The typed data of EIP-712 that a wallet shows and signs. */
export const allowanceTypedData = (networkId: Uint8Array, allowance: Allowance) =>
  typedData(networkId, ALLOWANCE, { ...allowance });

/** What is signed. */
export const allowanceDigest = (networkId: Uint8Array, allowance: Allowance): Uint8Array =>
  typedDigest(networkId, ALLOWANCE, { ...allowance });
