import { join } from 'node:path';
import { Command } from 'commander';
import { type CommandEnvironment, examples, numberOption } from '#worker/cli/command.ts';

interface WalletFlags {
  readonly wallet: string;
  readonly passwordFile?: string;
  readonly json: boolean;
}
interface PoolFlags extends WalletFlags {
  readonly coordinator: string;
}
interface ImportFlags extends WalletFlags {
  readonly from: 'mnemonic' | 'key' | 'keystore';
  readonly index: number;
}
interface SendFlags extends PoolFlags {
  readonly expires: number;
  readonly burn: boolean;
}
interface HistoryFlags extends PoolFlags {
  readonly limit: number;
  readonly csv: boolean;
}

/** `aiblock wallet`: keys and the money on them. */
export function register(program: Command, environment: CommandEnvironment): void {
  const wallet = new Command('wallet')
    .summary('keys, balances and payments')
    .description(
      'Makes and reads wallets in the encrypted form of Ethereum, pays from them and lists what came.',
    )
    .addHelpText(
      'after',
      examples(
        'aiblock wallet new',
        'aiblock wallet balance',
        'aiblock wallet send 0x70997970C51812dc3A010C7d01b50e0d17dc79C8 1.5',
        'aiblock wallet history --csv > entries.csv',
      ),
    );
  // Late: help and wrong usage must not wait for the cryptography.
  const actions = () => import('#worker/wallet/commands.ts');
  local(wallet, 'new', environment)
    .summary('make a key and its 12 words')
    .description(
      'Makes a key, shows the 12 words from which it can be had again (in MetaMask, too), once, and stores it encrypted.',
    )
    .action(async (flags: WalletFlags) => (await actions()).create(flags, environment));
  local(wallet, 'import', environment)
    .summary('store a key that exists')
    .description('Asks for words, a key or a keystore without showing them, and stores the key encrypted.')
    .option('--from <kind>', 'mnemonic, key (64 hex digits) or keystore (JSON on one line)', 'mnemonic')
    .option('--index <n>', 'number of the account of a mnemonic', numberOption(0, 2 ** 31 - 1), 0)
    .action(async (flags: ImportFlags) => (await actions()).importKey(flags, environment));
  local(wallet, 'show', environment)
    .summary('print the address')
    .description('Prints the address. It stands in the wallet in clear: no password is asked.')
    .action(async (flags: WalletFlags) => (await actions()).show(flags, environment));
  atPool(wallet, 'balance', environment)
    .summary('print balance, vesting rewards and nonce')
    .argument('[address]', 'another account than that of the wallet')
    .action(async (address: string | undefined, flags: PoolFlags) =>
      (await actions()).balance(address, flags, environment),
    );
  atPool(wallet, 'send', environment)
    .summary('pay')
    .description('Signs a transfer and waits until it stands in the journal, on disk.')
    .argument('<address>', 'who is paid')
    .argument('<amount>', 'tokens, such as 1.5')
    .option('--expires <seconds>', 'the signature is void after this', numberOption(10, 86_400), 600)
    .option('--burn', 'what is paid to 0x0000…0000 is gone for ever: this says that it is meant', false)
    .action(async (to: string, amount: string, flags: SendFlags) =>
      (await actions()).pay({ to, amount }, flags, environment),
    );
  atPool(wallet, 'history', environment)
    .summary('list what came and went, newest first')
    .argument('[address]', 'another account than that of the wallet')
    .option('--limit <n>', 'entries at most', numberOption(1, 1_000_000), 20)
    .option('--csv', 'as CSV, for a spreadsheet', false)
    .action(async (address: string | undefined, flags: HistoryFlags) =>
      (await actions()).history(address, flags, environment),
    );
  program.addCommand(wallet);
}

function local(parent: Command, name: string, { settings }: CommandEnvironment): Command {
  return parent
    .command(name)
    .option('--wallet <file>', 'the encrypted key', join(settings.dataDir, 'wallet.json'))
    .option('--password-file <file>', 'read the password from the first line of a file')
    .option('--json', 'one JSON object', false);
}

function atPool(parent: Command, name: string, environment: CommandEnvironment): Command {
  return local(parent, name, environment).option(
    '--coordinator <url>',
    'address of the pool',
    environment.settings.coordinatorUrl,
  );
}
