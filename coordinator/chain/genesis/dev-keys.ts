import { sha256 } from '@noble/hashes/sha2.js';
import { equalBytes, utf8ToBytes } from '#shared/crypto/bytes.ts';
import { type KeyPair, keyPair } from '#shared/crypto/keys.ts';
import { must } from '#shared/errors/pool-error.ts';

/** Public by design: whoever reads this can sign with them. They make the development network the same everywhere. */
export const UNSAFE_DEV_GOVERNOR: KeyPair = keyPair(
  sha256(utf8ToBytes('aiblock development network: governor key, unsafe, known to everybody')),
);
export const UNSAFE_DEV_POOL: KeyPair = keyPair(
  sha256(utf8ToBytes('aiblock development network: pool key, unsafe, known to everybody')),
);

/** A pool of one's own must not stand on keys that everybody has. */
export function refuseDevKeys(...keys: readonly KeyPair[]): void {
  for (const { publicKey, address } of keys)
    must(
      ![UNSAFE_DEV_GOVERNOR, UNSAFE_DEV_POOL].some((dev) => equalBytes(dev.publicKey, publicKey)),
      'UNSAFE_KEYS',
      `${address} is a key of the development network, which everybody knows; make one of your own`,
    );
}
