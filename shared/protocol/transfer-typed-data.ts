import { type TypedStruct, typedData, typedDigest } from '#shared/protocol/typed-data.ts';

/* Apart from what reads requests: the page needs it, and none of that. */

/** Nobody has its key: what is paid to it is burned. PROTOCOL §13. */
export const BURN_ADDRESS = `0x${'0'.repeat(40)}`;

/** A payment from one account to another, as its owner signs it. PROTOCOL §13. */
export interface Transfer {
  readonly from: string;
  readonly to: string;
  /** Base units. */
  readonly amount: bigint;
  /** Number of transfers of the account before this one. */
  readonly nonce: bigint;
  /** Unix seconds after which the signature is void. */
  readonly expiry: bigint;
}

const TRANSFER = {
  type: 'Transfer',
  fields: [
    { name: 'from', type: 'address' },
    { name: 'to', type: 'address' },
    { name: 'amount', type: 'uint256' },
    { name: 'nonce', type: 'uint256' },
    { name: 'expiry', type: 'uint256' },
  ],
} as const satisfies TypedStruct;

/** The typed data of EIP-712 that a wallet shows and signs. */
export const transferTypedData = (networkId: Uint8Array, transfer: Transfer) =>
  typedData(networkId, TRANSFER, { ...transfer });

/** What is signed. EIP-712. */
export const transferDigest = (networkId: Uint8Array, transfer: Transfer): Uint8Array =>
  typedDigest(networkId, TRANSFER, { ...transfer });
