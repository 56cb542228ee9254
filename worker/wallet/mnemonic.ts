import { HDKey } from '@scure/bip32';
import { generateMnemonic, mnemonicToSeedSync, validateMnemonic } from '@scure/bip39';
import { wordlist } from '@scure/bip39/wordlists/english.js';
import { type KeyPair, keyPair } from '#shared/crypto/keys.ts';
import { must } from '#shared/errors/pool-error.ts';

/** 12 words, as MetaMask makes them. */
const ENTROPY_BITS = 128;

/** Fresh English words (BIP-39). */
export const newMnemonic = (): string => generateMnemonic(wordlist, ENTROPY_BITS);

/** The key of an account at the path of MetaMask and others, m/44'/60'/0'/0/index. MNEMONIC where it is none. */
export function keyFromMnemonic(phrase: string, index = 0): KeyPair {
  const words = phrase.trim().toLowerCase().split(/\s+/).join(' ');
  must(
    validateMnemonic(words, wordlist),
    'MNEMONIC',
    'expected 12 to 24 English words whose checksum holds: a word is misspelt, missing or in the wrong place',
  );
  const { privateKey } = HDKey.fromMasterSeed(mnemonicToSeedSync(words)).derive(`m/44'/60'/0'/0/${index}`);
  must(privateKey, 'INTERNAL', 'the derived node has a private key');
  return keyPair(privateKey);
}
