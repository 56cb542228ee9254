import type { Command } from 'commander';
import { addKeystoreOptions, type CommandEnvironment, examples, numberOption } from '#worker/cli/command.ts';
import type { AdjustFlags } from '#worker/wallet/adjust.ts';

/** `aiblock ledger adjust`. */
export function addAdjust(ledger: Command, environment: CommandEnvironment): void {
  const { settings } = environment;
  addKeystoreOptions(ledger.command('adjust'))
    .summary('give tokens of the pool’s own account, with a reason')
    .description(
      'Moves tokens from the pool’s own account, signed by the pool’s key: the operator’s way to make good what went wrong. It makes no money and touches no other account; the reason stands beside the journal for everybody to read, and `aiblock verify` checks the signature.',
    )
    .argument('<address>', 'who gets them')
    .argument('<amount>', 'tokens, such as 1.5')
    .requiredOption('--reason <text>', 'why, in one line')
    .option('--expires <seconds>', 'the signature is void after this', numberOption(10, 86_400), 600)
    .option('--coordinator <url>', 'address of the pool', settings.coordinatorUrl)
    .option('--data-dir <folder>', 'folder of the pool, whose key signs', settings.dataDir)
    .option('--key-file <file>', 'sign with the plain key in this file (default: DATA-DIR/keys/pool)')
    .option('--json', 'one JSON object', false)
    .addHelpText(
      'after',
      examples(
        'aiblock ledger adjust 0x70997970C51812dc3A010C7d01b50e0d17dc79C8 2 --reason "lost shares of 3 May"',
      ),
    )
    .action(async (to: string, amount: string, flags: AdjustFlags) =>
      (await import('#worker/wallet/adjust.ts')).adjust({ to, amount }, flags, environment),
    );
}
