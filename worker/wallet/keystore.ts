import {
  createCipheriv,
  createDecipheriv,
  randomBytes,
  randomUUID,
  scrypt,
  timingSafeEqual,
} from 'node:crypto';
import { keccak_256 } from '@noble/hashes/sha3.js';
import { z } from 'zod';
import { concatBytes, fromHex, toHex } from '#shared/crypto/bytes.ts';
import { type KeyPair, keyPair } from '#shared/crypto/keys.ts';
import { must, PoolError } from '#shared/errors/pool-error.ts';

/*
 * Web3 Secret Storage, version 3: the encrypted key file that Ethereum's wallets read and write.
 * https://ethereum.org/developers/docs/data-structures-and-encoding/web3-secret-storage
 */

/** geth's "standard" cost: a second and 256 MiB for each guess at a password. */
const COST = { n: 2 ** 18, r: 8, p: 1 } as const;
/** Of foreign files: scrypt takes 128·n·r bytes. */
const MAX_MEMORY_BYTES = 2 ** 30;
const MAX_PASSES = 16;
const KEY_BYTES = 32;

const hex = (bytes: number) => z.string().regex(new RegExp(`^(0x)?[0-9a-fA-F]{${2 * bytes}}$`));
const keystoreSchema = z.looseObject({
  version: z.literal(3),
  crypto: z.looseObject({
    cipher: z.literal('aes-128-ctr'),
    ciphertext: hex(KEY_BYTES),
    cipherparams: z.looseObject({ iv: hex(16) }),
    kdf: z.literal('scrypt'),
    kdfparams: z.looseObject({
      n: z
        .int()
        .min(2)
        .max(2 ** 22),
      r: z.int().min(1).max(64),
      p: z.int().min(1).max(MAX_PASSES),
      dklen: z.literal(KEY_BYTES),
      salt: z.string().regex(/^(0x)?([0-9a-fA-F]{2}){8,64}$/),
    }),
    mac: hex(32),
  }),
});

/** Whether a text looks like a keystore, and not like a bare key. */
export const isKeystore = (text: string): boolean => text.trimStart().startsWith('{');

/** Encrypts a key; `cost` is for tests alone. */
export async function encryptKeystore(key: KeyPair, password: string, cost = COST): Promise<string> {
  const salt = randomBytes(32);
  const iv = randomBytes(16);
  const derived = await derive(password, salt, cost);
  const cipher = createCipheriv('aes-128-ctr', derived.subarray(0, 16), iv);
  const ciphertext = concatBytes(cipher.update(key.secretKey), cipher.final());
  const file = {
    version: 3,
    id: randomUUID(),
    address: key.address.slice(2).toLowerCase(),
    crypto: {
      cipher: 'aes-128-ctr',
      cipherparams: { iv: toHex(iv) },
      ciphertext: toHex(ciphertext),
      kdf: 'scrypt',
      kdfparams: { ...cost, dklen: KEY_BYTES, salt: toHex(salt) },
      mac: toHex(macOf(derived, ciphertext)),
    },
  };
  return `${JSON.stringify(file, null, 2)}\n`;
}

/** KEYSTORE where the text is not a keystore of this form, PASSWORD where the password does not open it. */
export async function decryptKeystore(text: string, password: string): Promise<KeyPair> {
  const { cipherparams, ciphertext, kdfparams, mac } = parse(text).crypto;
  must(
    128 * kdfparams.n * kdfparams.r <= MAX_MEMORY_BYTES && (kdfparams.n & (kdfparams.n - 1)) === 0,
    'KEYSTORE',
    'keystore: expected scrypt parameters that need at most 1 GiB, n a power of two',
  );
  const derived = await derive(password, bytesOf(kdfparams.salt), kdfparams);
  const encrypted = bytesOf(ciphertext);
  must(
    timingSafeEqual(macOf(derived, encrypted), bytesOf(mac)),
    'PASSWORD',
    'the password does not open the keystore',
  );
  const cipher = createDecipheriv('aes-128-ctr', derived.subarray(0, 16), bytesOf(cipherparams.iv));
  return keyPair(new Uint8Array(concatBytes(cipher.update(encrypted), cipher.final())));
}

function parse(text: string): z.infer<typeof keystoreSchema> {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    // The cause would quote the file.
    throw new PoolError('KEYSTORE', 'keystore: expected JSON');
  }
  // geth wrote "Crypto" once.
  const value = json as { crypto?: unknown; Crypto?: unknown } | null;
  const parsed = keystoreSchema.safeParse({ ...value, crypto: value?.crypto ?? value?.Crypto });
  if (parsed.success) return parsed.data;
  const path = parsed.error.issues[0]?.path.join('.') ?? '';
  throw new PoolError(
    'KEYSTORE',
    `keystore: ${path}: expected version 3 with scrypt and aes-128-ctr: ${parsed.error.issues[0]?.message}`,
  );
}

function derive(
  password: string,
  salt: Uint8Array,
  { n, r, p }: { n: number; r: number; p: number },
): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    // Composed, so that a password typed on another keyboard is the same bytes. EIP-2335 and ethers do so, too.
    const text = password.normalize('NFKC');
    scrypt(text, salt, KEY_BYTES, { N: n, r, p, maxmem: 2 * MAX_MEMORY_BYTES }, (error, key) =>
      error ? reject(error) : resolve(new Uint8Array(key)),
    );
  });
}

const macOf = (derived: Uint8Array, ciphertext: Uint8Array): Uint8Array =>
  keccak_256(concatBytes(derived.subarray(16, 32), ciphertext));

const bytesOf = (text: string): Uint8Array => {
  const digits = text.replace(/^0x/, '').toLowerCase();
  return fromHex(digits, digits.length / 2, 'keystore');
};
