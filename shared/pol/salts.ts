import { u64be, ZERO_32 } from '#shared/crypto/bytes.ts';
import { digest } from '#shared/crypto/digest.ts';

/** The salt of the genesis head, known to everybody: no secret exists yet. PROTOCOL §8. */
export function genesisSalt(networkId: Uint8Array): Uint8Array {
  return digest('salt', networkId, ZERO_32, u64be(0));
}
