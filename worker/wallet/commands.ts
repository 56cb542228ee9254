import { readFile } from 'node:fs/promises';
import { type EntryView, entriesSchema } from '#shared/api/account-schemas.ts';
import { fromHex } from '#shared/crypto/bytes.ts';
import { type KeyPair, keyPair, parseAddress } from '#shared/crypto/keys.ts';
import { must, PoolError } from '#shared/errors/pool-error.ts';
import { formatAmount, parseAmount } from '#shared/money.ts';
import { BURN_ADDRESS } from '#shared/protocol/transfer-typed-data.ts';
import type { CommandEnvironment } from '#worker/cli/command.ts';
import { ApiClient } from '#worker/client/api-client.ts';
import { decryptKeystore, encryptKeystore, isKeystore } from '#worker/wallet/keystore.ts';
import { keyFromMnemonic, newMnemonic } from '#worker/wallet/mnemonic.ts';
import { askNewPassword, askPassword, askSecret, type PasswordSource } from '#worker/wallet/password.ts';
import { send } from '#worker/wallet/send.ts';
import { readWallet, writeNewWallet } from '#worker/wallet/wallet-file.ts';

/* What the subcommands of `aiblock wallet` do. */

interface Flags {
  readonly wallet: string;
  readonly passwordFile?: string;
  readonly json: boolean;
}
interface PoolFlags extends Flags {
  readonly coordinator: string;
}

const PAGE = 1_000;
const CSV_HEADER = 'seq,at,kind,ref,from,to,amount';

export async function create(flags: Flags, environment: CommandEnvironment): Promise<void> {
  const words = newMnemonic();
  const key = keyFromMnemonic(words);
  await store(key, flags, environment);
  const { out } = environment;
  if (flags.json)
    return out(`${JSON.stringify({ address: key.address, wallet: flags.wallet, mnemonic: words })}\n`);
  out(
    [
      `Address  ${key.address}`,
      `Wallet   ${flags.wallet}`,
      '',
      'These words are the key. Whoever has them has the money; without them and without the wallet it is lost.',
      'Write them down, on paper; they are not shown again:',
      '',
      ...numbered(words),
      '',
    ].join('\n'),
  );
}

/** Four words a line, numbered, so that none is skipped when they are copied. */
function numbered(words: string): string[] {
  const cells = words.split(' ').map((word, i) => `${String(i + 1).padStart(4)}. ${word.padEnd(9)}`);
  return Array.from({ length: Math.ceil(cells.length / 4) }, (_, row) =>
    cells
      .slice(4 * row, 4 * row + 4)
      .join('')
      .trimEnd(),
  );
}

export async function importKey(
  flags: Flags & { from: string; index: number },
  environment: CommandEnvironment,
): Promise<void> {
  const key = await givenKey(flags, environment);
  await store(key, flags, environment);
  printAddress(key.address, flags, environment);
}

async function givenKey(
  { from, index, passwordFile }: Flags & { from: string; index: number },
  environment: CommandEnvironment,
): Promise<KeyPair> {
  const source = sourceOf({ passwordFile }, environment);
  if (from === 'mnemonic') return keyFromMnemonic(await askSecret(source, 'Words: '), index);
  if (from === 'keystore') {
    const text = await askSecret(source, 'Keystore: ');
    return decryptKeystore(text, await askPassword(sourceOf({}, environment), 'Password of that keystore: '));
  }
  must(from === 'key', 'OPTION', `--from: expected mnemonic, key or keystore, got ${from}`);
  const text = (await askSecret(source, 'Key: ')).trim().replace(/^0x/i, '').toLowerCase();
  try {
    return keyPair(fromHex(text, 32));
  } catch {
    // The cause would quote the secret.
    throw new PoolError('KEYSTORE', 'key: expected 64 hex digits of a secp256k1 key');
  }
}

async function store(key: KeyPair, flags: Flags, environment: CommandEnvironment): Promise<void> {
  const password = await askNewPassword(sourceOf(flags, environment));
  await writeNewWallet(flags.wallet, await encryptKeystore(key, password));
}

export async function show(flags: Flags, environment: CommandEnvironment): Promise<void> {
  printAddress(await addressIn(flags.wallet, environment), flags, environment);
}

function printAddress(address: string, { wallet, json }: Flags, { out }: CommandEnvironment): void {
  out(json ? `${JSON.stringify({ address, wallet })}\n` : `${address}\n`);
}

export async function balance(
  given: string | undefined,
  flags: PoolFlags,
  environment: CommandEnvironment,
): Promise<void> {
  const address = given === undefined ? await addressIn(flags.wallet, environment) : parseAddress(given);
  const account = await new ApiClient(flags.coordinator).account(address, environment.signal);
  if (flags.json) return environment.out(`${JSON.stringify(account)}\n`);
  environment.out(
    [
      `Account  ${account.address}`,
      `Balance  ${formatAmount(BigInt(account.balance))}`,
      ...(account.vesting === '0' ? [] : [`Vesting  ${formatAmount(BigInt(account.vesting))}`]),
      `Nonce    ${account.nonce}`,
      '',
    ].join('\n'),
  );
}

export async function pay(
  payment: { to: string; amount: string },
  flags: PoolFlags & { expires: number; burn: boolean },
  environment: CommandEnvironment,
): Promise<void> {
  const to = parseAddress(payment.to);
  must(
    flags.burn === (to === BURN_ADDRESS),
    'OPTION',
    flags.burn
      ? `--burn: only what is paid to ${BURN_ADDRESS} is burned`
      : `nobody has the key of ${BURN_ADDRESS}: what is paid to it is burned; --burn says that this is meant`,
  );
  const amount = parseAmount(payment.amount);
  const key = await readWallet(flags.wallet, () => askPassword(sourceOf(flags, environment)));
  const expiry = BigInt(Math.floor(environment.now() / 1000) + flags.expires);
  const { digest, entry } = await send(new ApiClient(flags.coordinator), key, { to, amount, expiry });
  environment.out(
    flags.json
      ? `${JSON.stringify({ digest, entry })}\n`
      : `${flags.burn ? `Burned ${formatAmount(amount)}` : `Paid ${formatAmount(amount)} to ${to}`}: journal entry ${entry.seq}, transfer ${digest}\n`,
  );
}

export async function history(
  given: string | undefined,
  flags: PoolFlags & { limit: number; csv: boolean },
  environment: CommandEnvironment,
): Promise<void> {
  const { out, signal } = environment;
  const address = given === undefined ? await addressIn(flags.wallet, environment) : parseAddress(given);
  const api = new ApiClient(flags.coordinator);
  if (flags.csv) out(`${CSV_HEADER}\r\n`);
  let left = flags.limit;
  for (let before: number | null | undefined; left > 0 && before !== null; ) {
    const query = `limit=${Math.min(left, PAGE)}${before === undefined ? '' : `&before=${before}`}`;
    const page = await api.json(`accounts/${address}/entries?${query}`, entriesSchema, { signal });
    for (const entry of page.entries) out(line(entry, address, flags));
    left -= page.entries.length;
    before = page.next;
  }
}

function line(entry: EntryView, address: string, { csv, json }: { csv: boolean; json: boolean }): string {
  const { seq, at, kind, ref, from, to, amount, reason } = entry;
  if (json) return `${JSON.stringify(entry)}\n`;
  if (csv) return `${[seq, at, kind, ref, from ?? '', to ?? '', amount].join(',')}\r\n`;
  const sign = to === address ? '+' : '-';
  const other = (to === address ? from : to) ?? (to === address ? 'minted' : 'burned');
  const day = new Date(at).toISOString().slice(0, 19).replace('T', ' ');
  return `${day}  ${(sign + formatAmount(BigInt(amount))).padStart(14)}  ${kind.padEnd(16)}  ${other}${reason === undefined ? '' : `  ${reason}`}\n`;
}

/** The address of a wallet, without its password where the file tells it. */
async function addressIn(path: string, environment: CommandEnvironment): Promise<string> {
  const text = await readFile(path, 'utf8').catch(() => '');
  if (isKeystore(text)) {
    const { address } = JSON.parse(text) as { address?: unknown };
    if (typeof address === 'string') return parseAddress(`0x${address.replace(/^0x/, '').toLowerCase()}`);
  }
  const key = await readWallet(path, () => askPassword(sourceOf({}, environment)));
  return key.address;
}

function sourceOf(
  { passwordFile }: { passwordFile?: string | undefined },
  { stdin, err, signal }: CommandEnvironment,
): PasswordSource {
  return { file: passwordFile, stdin, err, signal };
}
