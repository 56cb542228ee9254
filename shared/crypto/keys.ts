import { secp256k1 } from '@noble/curves/secp256k1.js';
import { keccak_256 } from '@noble/hashes/sha3.js';
import { toHex, utf8ToBytes } from '#shared/crypto/bytes.ts';
import { must } from '#shared/errors/pool-error.ts';

export const PUBLIC_KEY_BYTES = 33;
export const SIGNATURE_BYTES = 64;

export interface KeyPair {
  readonly secretKey: Uint8Array;
  /** Compressed secp256k1, 33 bytes. */
  readonly publicKey: Uint8Array;
  /** EIP-55 address of the public key. */
  readonly address: string;
}

export function keyPair(secretKey: Uint8Array): KeyPair {
  must(
    secretKey.length === 32 && secp256k1.utils.isValidSecretKey(secretKey),
    'OPTION',
    'expected a secp256k1 secret key of 32 bytes below the order of the curve',
  );
  const publicKey = secp256k1.getPublicKey(secretKey, true);
  return { secretKey, publicKey, address: addressOf(publicKey) };
}

/** ECDSA over a 32-byte digest (from `digest()`, never over raw input): 64 bytes r‖s, low-S, RFC 6979. */
export function sign(digest32: Uint8Array, secretKey: Uint8Array): Uint8Array {
  must(digest32.length === 32, 'INTERNAL', 'sign: expected a 32-byte digest');
  return secp256k1.sign(digest32, secretKey, { prehash: false, lowS: true, format: 'compact' });
}

/** As `sign`, with the byte from which the key can be recovered: 65 bytes r ‖ s ‖ v, v of 27 or 28. */
export function signRecoverable(digest32: Uint8Array, secretKey: Uint8Array): Uint8Array {
  must(digest32.length === 32, 'INTERNAL', 'sign: expected a 32-byte digest');
  const [recovery = 0, ...compact] = secp256k1.sign(digest32, secretKey, {
    prehash: false,
    lowS: true,
    format: 'recovered',
  });
  return Uint8Array.of(...compact, 27 + recovery);
}

/**
 * PROTOCOL §2: true for the one valid form (64-byte compact, low-S, compressed key on the curve), false for
 * everything else. Never throws.
 */
export function verifySignature(signature: Uint8Array, digest32: Uint8Array, publicKey: Uint8Array): boolean {
  if (signature.length !== SIGNATURE_BYTES || digest32.length !== 32) return false;
  if (!isPublicKey(publicKey)) return false;
  try {
    return secp256k1.verify(signature, digest32, publicKey, {
      prehash: false,
      lowS: true,
      format: 'compact',
    });
  } catch {
    return false; // r or s of zero, or not below the order
  }
}

export function isPublicKey(bytes: Uint8Array): boolean {
  if (bytes.length !== PUBLIC_KEY_BYTES) return false;
  try {
    secp256k1.Point.fromBytes(bytes).assertValidity();
    return true;
  } catch {
    return false;
  }
}

/** Ethereum address of a compressed public key, with EIP-55 checksum. */
export function addressOf(publicKey: Uint8Array): string {
  const uncompressed = secp256k1.Point.fromBytes(publicKey).toBytes(false);
  return checksumAddress(toHex(keccak_256(uncompressed.subarray(1)).subarray(12)));
}

function checksumAddress(hex40: string): string {
  const hash = toHex(keccak_256(utf8ToBytes(hex40)));
  const digits = [...hex40].map((c, i) =>
    Number.parseInt(hash[i] as string, 16) >= 8 ? c.toUpperCase() : c,
  );
  return `0x${digits.join('')}`;
}

/** Takes a checksummed or all-lower-case address, gives the checksummed form; anything else is refused. */
export function parseAddress(text: string): string {
  must(
    /^0x[0-9a-fA-F]{40}$/.test(text),
    'ADDRESS',
    `expected an address of 0x and 40 hex digits, got ${JSON.stringify(text.slice(0, 60))}`,
  );
  const address = checksumAddress(text.slice(2).toLowerCase());
  must(
    text === address || text === text.toLowerCase(),
    'ADDRESS',
    // Without the right form of what came: whoever copies it would pay to the mistyped address.
    `a character of the address is mistyped: expected one whose checksum holds, got ${text}`,
  );
  return address;
}
