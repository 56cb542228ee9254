import type { KeyPair } from '#shared/crypto/keys.ts';
import { must } from '#shared/errors/pool-error.ts';
import type { CommandEnvironment } from '#worker/cli/command.ts';
import { loadKey, loadOrCreateKey } from '#worker/client/key-file.ts';
import { askPassword } from '#worker/wallet/password.ts';
import { readWallet } from '#worker/wallet/wallet-file.ts';

/** Which key a command signs with, as its options say. */
export interface KeyFlags {
  /** An encrypted keystore, or another wallet file; it must exist. */
  readonly keystore?: string | undefined;
  readonly passwordFile?: string | undefined;
  /** A plain key. */
  readonly keyFile?: string | undefined;
}

type Asking = Pick<CommandEnvironment, 'stdin' | 'err' | 'signal'>;

/**
 * The key of a keystore, for whose password is asked where no file has it; else the plain one in `keyFile` or
 * `usual`, made where it is missing. OPTION where both are named, or a password for nothing; KEYSTORE, PASSWORD.
 */
export async function signingKey(flags: KeyFlags, usual: string, asking: Asking): Promise<KeyPair> {
  return (await keystoreKey(flags, asking)) ?? loadOrCreateKey(flags.keyFile ?? usual);
}

/**
 * The same of a key that others know already, such as the pool's or a governor's: OPTION where the plain one is
 * missing, for one made here would be nobody's.
 */
export async function existingKey(flags: KeyFlags, usual: string, asking: Asking): Promise<KeyPair> {
  return (await keystoreKey(flags, asking)) ?? loadKey(flags.keyFile ?? usual);
}

async function keystoreKey(
  { keystore, passwordFile, keyFile }: KeyFlags,
  { stdin, err, signal }: Asking,
): Promise<KeyPair | undefined> {
  if (keystore === undefined) {
    must(passwordFile === undefined, 'OPTION', '--password-file: expected --keystore with it');
    return undefined;
  }
  must(keyFile === undefined, 'OPTION', 'expected either --keystore or --key-file, got both');
  const prompt = `Password of ${keystore}: `;
  return readWallet(keystore, () => askPassword({ file: passwordFile, stdin, err, signal }, prompt));
}
