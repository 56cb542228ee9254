import type { KeyPair } from '#shared/crypto/keys.ts';
import { must } from '#shared/errors/pool-error.ts';
import type { CommandEnvironment } from '#worker/cli/command.ts';
import { loadOrCreateKey } from '#worker/client/key-file.ts';
import { askPassword } from '#worker/wallet/password.ts';
import { readWallet } from '#worker/wallet/wallet-file.ts';

/** Which key a command signs with, as its options say. */
export interface KeyFlags {
  /** An encrypted keystore, or another wallet file; it must exist. */
  readonly keystore?: string | undefined;
  readonly passwordFile?: string | undefined;
  /** A plain key, made where it is missing. */
  readonly keyFile?: string | undefined;
}

/**
 * The key of a keystore, for whose password is asked where no file has it; else the plain one in `keyFile` or
 * `usual`. OPTION where both are named, or a password for nothing; KEYSTORE, PASSWORD.
 */
export async function signingKey(
  flags: KeyFlags,
  usual: string,
  { stdin, err, signal }: Pick<CommandEnvironment, 'stdin' | 'err' | 'signal'>,
): Promise<KeyPair> {
  const { keystore, passwordFile, keyFile } = flags;
  if (keystore === undefined) {
    must(passwordFile === undefined, 'OPTION', '--password-file: expected --keystore with it');
    return loadOrCreateKey(keyFile ?? usual);
  }
  must(keyFile === undefined, 'OPTION', 'expected either --keystore or --key-file, got both');
  const prompt = `Password of ${keystore}: `;
  return readWallet(keystore, () => askPassword({ file: passwordFile, stdin, err, signal }, prompt));
}
