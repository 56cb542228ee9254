import { sha256 } from '@noble/hashes/sha2.js';
import { concatBytes, utf8ToBytes } from '#shared/crypto/bytes.ts';

/** SHA-256 of parts behind each other. A native one is several times as fast; what is pure cannot name it. */
export type Sha256 = (...parts: readonly Uint8Array[]) => Uint8Array;

export const plainSha256: Sha256 = (...parts) => sha256(concatBytes(...parts));

/** What can be signed or drawn from. A digest of one kind is never a valid digest of another. */
export type DigestKind =
  | 'payload'
  | 'submission'
  | 'claim'
  | 'attestation'
  | 'held-out'
  | 'held-out-work'
  | 'commitment'
  | 'recheck'
  | 'meta'
  | 'journal'
  | 'rewards'
  | 'work'
  | 'account'
  | 'receipt'
  | 'salt'
  | 'seed'
  | 'challenge'
  | 'owner'
  | 'adjustment'
  | 'chat'
  | 'tensor'
  | 'tensor-list';

/**
 * SHA-256("aiblock/<kind>/v1" ‖ 0x00 ‖ network id (32) ‖ parts). PROTOCOL §2.
 * The caller keeps `parts` unambiguous: fixed widths, or one variable part at the end.
 */
export function digest(kind: DigestKind, networkId: Uint8Array, ...parts: Uint8Array[]): Uint8Array {
  return plainSha256(...digestStart(kind, networkId), ...parts);
}

/** What `digest` hashes before its parts. */
export function digestStart(kind: DigestKind, networkId: Uint8Array): [Uint8Array, Uint8Array] {
  return [utf8ToBytes(`aiblock/${kind}/v1\0`), networkId];
}
