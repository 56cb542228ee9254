import { keccak_256 } from '@noble/hashes/sha3.js';
import { concatBytes, fromHex, toHex, utf8ToBytes } from '#shared/crypto/bytes.ts';

/* EIP-712: what a wallet shows and signs. PROTOCOL §13. */

export interface TypedField {
  readonly name: string;
  readonly type: 'address' | 'uint256';
}

const DOMAIN = { name: 'AI-Block Pool', version: '1' } as const;
export const DOMAIN_FIELDS = [
  { name: 'name', type: 'string' },
  { name: 'version', type: 'string' },
  // The network stands in the salt: wallets refuse a chainId that is not the one they are connected to.
  { name: 'salt', type: 'bytes32' },
] as const;

export function domainOf(networkId: Uint8Array) {
  return { ...DOMAIN, salt: `0x${toHex(networkId)}` as const };
}

/** keccak256(0x1901 ‖ domain separator ‖ hash of the struct), whose values stand in the order of its fields. */
export function typedDigest(
  networkId: Uint8Array,
  { type, fields }: { readonly type: string; readonly fields: readonly TypedField[] },
  values: readonly (string | bigint)[],
): Uint8Array {
  const struct = keccak_256(
    concatBytes(typeHash(type, fields), ...values.map((value) => word(BigInt(value)))),
  );
  return keccak_256(concatBytes(Uint8Array.of(0x19, 0x01), domainSeparator(networkId), struct));
}

function domainSeparator(networkId: Uint8Array): Uint8Array {
  const { name, version } = DOMAIN;
  const texts = [name, version].map((text) => keccak_256(utf8ToBytes(text)));
  return keccak_256(concatBytes(typeHash('EIP712Domain', DOMAIN_FIELDS), ...texts, networkId));
}

function typeHash(type: string, fields: readonly { readonly name: string; readonly type: string }[]) {
  return keccak_256(utf8ToBytes(`${type}(${fields.map((f) => `${f.type} ${f.name}`).join(',')})`));
}

/** A number, or an address, as 32 bytes, big-endian. */
function word(value: bigint): Uint8Array {
  return fromHex(value.toString(16).padStart(64, '0'), 32);
}
