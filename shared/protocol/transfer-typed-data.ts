import { DOMAIN_FIELDS, domainOf, typedDigest } from '#shared/protocol/typed-data.ts';

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

const TRANSFER_FIELDS = [
  { name: 'from', type: 'address' },
  { name: 'to', type: 'address' },
  { name: 'amount', type: 'uint256' },
  { name: 'nonce', type: 'uint256' },
  { name: 'expiry', type: 'uint256' },
] as const;

/** The typed data of EIP-712 that a wallet shows and signs (`eth_signTypedData_v4`); numbers as decimal text. */
export function transferTypedData(networkId: Uint8Array, transfer: Transfer) {
  const { from, to, amount, nonce, expiry } = transfer;
  return {
    types: { EIP712Domain: [...DOMAIN_FIELDS], Transfer: [...TRANSFER_FIELDS] },
    primaryType: 'Transfer' as const,
    domain: domainOf(networkId),
    message: { from, to, amount: `${amount}`, nonce: `${nonce}`, expiry: `${expiry}` },
  };
}

/** What is signed. EIP-712. */
export function transferDigest(networkId: Uint8Array, transfer: Transfer): Uint8Array {
  const { from, to, amount, nonce, expiry } = transfer;
  return typedDigest(networkId, { type: 'Transfer', fields: TRANSFER_FIELDS }, [
    from,
    to,
    amount,
    nonce,
    expiry,
  ]);
}
