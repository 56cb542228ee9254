import { keccak_256 } from '@noble/hashes/sha3.js';
import { concatBytes, fromHex, toHex, utf8ToBytes } from '#shared/crypto/bytes.ts';

/* EIP-712: what a wallet shows and signs. PROTOCOL §13. */

export interface TypedField {
  readonly name: string;
  readonly type: 'address' | 'uint256';
}

/** A struct that is signed: its name, and its fields in order. */
export interface TypedStruct<Type extends string = string> {
  readonly type: Type;
  readonly fields: readonly TypedField[];
}

const DOMAIN = { name: 'AI-Block Pool', version: '1' } as const;
const DOMAIN_FIELDS = [
  { name: 'name', type: 'string' },
  { name: 'version', type: 'string' },
  // The network stands in the salt: wallets refuse a chainId that is not the one they are connected to.
  { name: 'salt', type: 'bytes32' },
] as const;

/** What a wallet shows and signs (`eth_signTypedData_v4`); numbers as decimal text. */
export function typedData<Type extends string, Values extends Readonly<Record<string, string | bigint>>>(
  networkId: Uint8Array,
  { type, fields }: TypedStruct<Type>,
  values: Values,
) {
  const types = { EIP712Domain: [...DOMAIN_FIELDS], [type]: [...fields] };
  const shown = Object.fromEntries(fields.map(({ name }) => [name, `${values[name]}`]));
  return {
    types: types as Record<'EIP712Domain' | Type, { name: string; type: string }[]>,
    primaryType: type,
    domain: { ...DOMAIN, salt: `0x${toHex(networkId)}` as const },
    message: shown as { [Name in keyof Values]: string },
  };
}

/** keccak256(0x1901 ‖ domain separator ‖ hash of the struct). */
export function typedDigest(
  networkId: Uint8Array,
  { type, fields }: TypedStruct,
  values: Readonly<Record<string, string | bigint>>,
): Uint8Array {
  const struct = keccak_256(
    concatBytes(typeHash(type, fields), ...fields.map(({ name }) => word(BigInt(values[name] as bigint)))),
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
