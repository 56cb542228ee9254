import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Command } from 'commander';
import type { CliEnvironment } from '#coordinator/cli/environment.ts';
import { fromHex, toHex } from '#shared/crypto/bytes.ts';

interface Flags {
  readonly dataDir: string;
  readonly name: string;
  readonly dev?: true;
  readonly governorKeyFile?: string;
  readonly json?: true;
}

export function register(program: Command, environment: CliEnvironment): void {
  program
    .command('init')
    .description(
      'Make a new chain in an empty data folder: keys, rules, tokenizer, validation set, first weights.',
    )
    .option('--data-dir <dir>', 'folder of the pool', environment.settings.dataDir)
    .option('--name <name>', 'name of the network', 'My AI-Block pool')
    .option('--dev', 'the development network, with keys that everybody knows: for trying out only')
    .option('--governor-key-file <file>', 'a governor key that exists: 64 hex digits')
    .option('--json', 'print one JSON object')
    .addHelpText(
      'after',
      '\nExamples:\n  $ aiblock init --name "Whale pool" --data-dir /srv/pool\n  $ aiblock init --dev\n',
    )
    .action((flags: Flags) => run(flags, environment));
}

async function run(flags: Flags, environment: CliEnvironment): Promise<void> {
  // Late: help and wrong usage must not wait for it.
  const [{ initChain }, { PayloadStore }, { openRocksKv }] = await Promise.all([
    import('#coordinator/chain/init.ts'),
    import('#coordinator/store/payload-store.ts'),
    import('#coordinator/store/rocks-kv.ts'),
  ]);
  const kv = await openRocksKv(join(flags.dataDir, 'store'));
  try {
    const { governorKeyFile: file } = flags;
    const result = await initChain(
      { kv, payloads: new PayloadStore(kv) },
      {
        dataDir: flags.dataDir,
        name: flags.dev ? 'AI-Block development network' : flags.name,
        dev: flags.dev === true,
        nowMs: environment.now(),
        ...(file === undefined
          ? {}
          : { governorSecret: fromHex((await readFile(file, 'utf8')).trim(), 32, '--governor-key-file') }),
      },
    );
    const network = toHex(result.networkId);
    if (flags.json) {
      environment.out(`${JSON.stringify({ ...result, networkId: network, dataDir: flags.dataDir })}\n`);
      return;
    }
    environment.out(
      [
        `Network   ${network}`,
        `Governor  ${result.governor}${flags.dev ? '  (unsafe: everybody has this key)' : ''}`,
        `Pool      ${result.pool}${flags.dev ? '  (unsafe: everybody has this key)' : ''}`,
        `Blocks    A0, B0 to B${result.blocks - 1}`,
        `Keys      ${join(flags.dataDir, 'keys')}: keep a copy of this folder where nobody else reads it`,
        '',
        'Next: aiblock coordinator, then aiblock worker on this or another machine.',
        '',
      ].join('\n'),
    );
  } finally {
    await kv.close();
  }
}
