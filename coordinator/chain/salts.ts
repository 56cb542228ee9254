import { sha256 } from '@noble/hashes/sha2.js';
import { equalBytes, u64be } from '#shared/crypto/bytes.ts';
import { digest } from '#shared/crypto/digest.ts';
import { must } from '#shared/errors/pool-error.ts';
import { genesisSalt } from '#shared/pol/salts.ts';

/**
 * The coordinator's salts, one per head. The hash of a head's salt stands in the block that seals that head, before
 * anything can be submitted on it; the salt itself is revealed by the next seal. PROTOCOL §8.
 */
export class Salts {
  readonly #networkId: Uint8Array;
  readonly #secret: Uint8Array;

  constructor(networkId: Uint8Array, secret: Uint8Array) {
    must(secret.length === 32, 'OPTION', 'expected a salt secret of 32 bytes');
    this.#networkId = networkId;
    this.#secret = secret;
  }

  /** What a block that seals height `height` promises. */
  hashFor(height: number): Uint8Array {
    return sha256(this.#salt(height));
  }

  /** The salt of the head at `height`, which must be the one that `promised` is the hash of. */
  reveal(height: number, promised: Uint8Array): Uint8Array {
    const salt = [this.#salt(height), genesisSalt(this.#networkId)].find((s) =>
      equalBytes(sha256(s), promised),
    );
    must(
      salt,
      'STORE_CORRUPT',
      'the salt secret in the keys folder is not the one this chain was made with; restore it from a backup',
    );
    return salt;
  }

  #salt(height: number): Uint8Array {
    return digest('salt', this.#networkId, this.#secret, u64be(height));
  }
}
