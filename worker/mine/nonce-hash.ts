import { createHash } from 'node:crypto';
import { u64be } from '#shared/crypto/bytes.ts';
import { NONCE_OFFSET } from '#worker/mine/grinder.ts';

/** The hash of a header with this nonce, by node:crypto: what every other way of hashing is held against. */
export function nonceHash(header: Uint8Array, nonce: bigint): Uint8Array {
  return createHash('sha256').update(header.subarray(0, NONCE_OFFSET)).update(u64be(nonce)).digest();
}
