import { Command } from 'commander';
import { addKeystoreOptions, type CommandEnvironment, examples, numberOption } from '#worker/cli/command.ts';
import type { MetaFlags } from '#worker/govern/commands.ts';

/** `aiblock meta`: the rules of a pool, and how its governors change them. */
export function register(program: Command, environment: CommandEnvironment): void {
  const meta = new Command('meta')
    .summary('the rules of a pool, and how its governors change them')
    .description(
      'Shows the Meta chain, which says what the model is, how it is judged and how it is paid, and makes new blocks of it: one proposes, as many governors sign as it takes, one commits.',
    )
    .addHelpText(
      'after',
      examples(
        'aiblock meta show --json > fields.json',
        'aiblock meta propose change.meta --set gate.z_milli=2500 --rules rules.json',
        'aiblock meta diff change.meta',
        'aiblock meta sign change.meta --keystore governor.json',
        'aiblock meta commit change.meta',
      ),
    );
  // Late: help and wrong usage must not wait for the cryptography.
  const actions = () => import('#worker/govern/commands.ts');
  at(meta, 'show', environment)
    .summary('print the rules; with --json what --fields takes')
    .argument('[index]', 'height in the Meta chain (default: the newest)', numberOption(0, 1e9))
    .action(async (index: number | undefined, flags: MetaFlags) =>
      (await actions()).show(index, flags, environment),
    );
  addProposing(at(meta, 'propose', environment), environment);
  at(meta, 'diff', environment)
    .summary('print what a proposal changes, and who has signed it')
    .argument('<file>', 'the proposal')
    .action(async (file: string, flags: MetaFlags) => (await actions()).diff(file, flags, environment));
  addKeystoreOptions(at(meta, 'sign', environment))
    .summary('add a governor’s signature to a proposal')
    .argument('<file>', 'the proposal')
    .option(
      '--data-dir <folder>',
      'folder of the pool, whose governor’s key is used',
      environment.settings.dataDir,
    )
    .option('--key-file <file>', 'sign with the plain key in this file (default: DATA-DIR/keys/governor)')
    .action(async (file: string, flags: MetaFlags & { dataDir: string }) =>
      (await actions()).signFile(file, flags, environment),
    );
  at(meta, 'commit', environment)
    .summary('have the pool make the block of a proposal')
    .argument('<file>', 'the proposal')
    .action(async (file: string, flags: MetaFlags) => (await actions()).commit(file, flags, environment));
  program.addCommand(meta);
}

type ProposeFlags = MetaFlags & { readonly set: string[] };

function addProposing(command: Command, environment: CommandEnvironment): void {
  command
    .summary('write a proposal of changed rules')
    .description(
      'Writes a proposal: the rules of the newest Meta block with what these options change. A new validation text gives a new public part and a new held-out part; the shards of the latter stand in FILE.held-out, which is for whoever commits alone.',
    )
    .argument('<file>', 'where it goes')
    .option('--set <field=value>', 'change one field; may be repeated', collect, [])
    .option('--fields <file>', 'JSON of fields to change, such as `aiblock meta show --json` prints')
    .option('--rules <file>', 'JSON list of {"name", "text"}: the behaviour rules')
    .option('--chat-template <file>', 'the chat template, in Jinja')
    .option('--generation-config <file>', 'the generation_config.json')
    .option('--validation <file>', 'text whose parts are public and held out in turn')
    .action(async (file: string, flags: ProposeFlags) =>
      (await import('#worker/govern/commands.ts')).propose(file, flags, environment),
    );
}

const collect = (value: string, before: readonly string[]): string[] => [...before, value];

function at(parent: Command, name: string, { settings }: CommandEnvironment): Command {
  return parent
    .command(name)
    .option('--coordinator <url>', 'address of the pool', settings.coordinatorUrl)
    .option('--json', 'one JSON object', false);
}
