import { toHex, utf8ToBytes } from '#shared/crypto/bytes.ts';
import { digest } from '#shared/crypto/digest.ts';
import { parseAddress } from '#shared/crypto/keys.ts';

/** Where rewards wait for the re-check of their epoch. PROTOCOL §10. */
export const vestingAccount = (networkId: Uint8Array): string => keylessAccount(networkId, 'vesting');

/** Where an owner's parts below the minimum payout gather. PROTOCOL §10. */
export const accruedAccount = (networkId: Uint8Array, owner: string): string =>
  keylessAccount(networkId, `accrued ${owner}`);

/** Where the fees of chats lie until these are settled. PROTOCOL §16. */
export const chatAccount = (networkId: Uint8Array): string => keylessAccount(networkId, 'chat');

/** An address that no key has: only the rules of the journal move what is on it. */
function keylessAccount(networkId: Uint8Array, text: string): string {
  const bytes = digest('account', networkId, utf8ToBytes(text));
  return parseAddress(`0x${toHex(bytes.subarray(12))}`);
}
