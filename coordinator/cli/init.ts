import { join } from 'node:path';
import { type Command, InvalidArgumentError } from 'commander';
import type { GenesisContent } from '#coordinator/chain/genesis/content.ts';
import type { InitOptions, InitResult } from '#coordinator/chain/init.ts';
import type { CliEnvironment } from '#coordinator/cli/environment.ts';
import { ImportBar } from '#coordinator/cli/import-progress.ts';
import type { Checkpoint } from '#coordinator/import/checkpoint.ts';
import type { ContentOptions } from '#coordinator/import/genesis-content.ts';
import { HUB_VARIABLES } from '#coordinator/import/hub/access.ts';
import { SILENT, UNWATCHED, type Watch } from '#coordinator/progress.ts';
import { fromHex, toHex } from '#shared/crypto/bytes.ts';
import { must } from '#shared/errors/pool-error.ts';

interface Flags {
  readonly dataDir: string;
  readonly name: string;
  readonly dev?: true;
  readonly model?: string;
  readonly validationText?: string;
  readonly window?: number;
  readonly rules?: string;
  readonly attestations?: number;
  readonly governorKeyFile?: string;
  readonly json?: true;
}

const EXAMPLES = `
Examples:
  $ aiblock init --name "Whale pool" --data-dir /srv/pool
  $ aiblock init --model ./SmolLM2-135M --validation-text ./our-prose.txt
  $ aiblock init --model HuggingFaceTB/SmolLM2-135M-Instruct@main
  $ aiblock init --model ./tinyllama.Q8_0.gguf --window 256
  $ aiblock init --model bartowski/SmolLM2-135M-Instruct-GGUF/SmolLM2-135M-Instruct-Q8_0.gguf
  $ aiblock init --dev

A model's weights, tokenizer and chat template stand on the chain as they are in its files; of a GGUF file, blocks of
Q8_0, Q6_K, Q4_0 and Q4_1 become float32. It may be of gpt2, llama, mistral, qwen2 or qwen3. What is cut or stopped leaves
no chain: the same command goes on with what was downloaded and stored.

Environment:
${Object.entries(HUB_VARIABLES)
  .map(([name, text]) => `  ${name.padEnd(13)}${text}`)
  .join('\n')}
`;

export function register(program: Command, environment: CliEnvironment): void {
  program
    .command('init')
    .description(
      'Make a new chain in an empty data folder: keys, rules, tokenizer, validation set, first weights. They are those of a small fresh GPT, or with --model of a checkpoint.',
    )
    .option('--data-dir <dir>', 'folder of the pool', environment.settings.dataDir)
    .option('--name <name>', 'name of the network', 'My AI-Block pool')
    .option(
      '--model <model>',
      'start from a checkpoint: a Hugging Face folder with safetensors, a GGUF file, or an id of the Hub (ORG/NAME, ORG/NAME@REVISION, ORG/NAME/FILE.gguf)',
    )
    .option(
      '--validation-text <file>',
      'with --model: text (UTF-8) by which the model is judged, half of it held out (default: chapters of Moby-Dick)',
    )
    .option(
      '--window <tokens>',
      'with --model: tokens per validation window (default: 128, or the model’s context)',
      tokens,
    )
    .option('--rules <file>', 'with --model: behaviour rules, a JSON list of {"name", "text"}')
    .option(
      '--attestations <n>',
      'workers of different owners that must agree on a submission (default: 2)',
      attestations,
    )
    .option('--dev', 'the development network, with keys that everybody knows: for trying out only')
    .option('--governor-key-file <file>', 'a governor key that exists: 64 hex digits')
    .option('--json', 'print one JSON object')
    .addHelpText('after', EXAMPLES)
    .action((flags: Flags) => run(flags, environment));
}

/** Beyond this a committee would be larger than any pool needs against liars. */
const MOST_ATTESTATIONS = 21;

function attestations(text: string): number {
  const value = Number(text);
  if (!/^[0-9]+$/.test(text) || value < 1 || value > MOST_ATTESTATIONS)
    throw new InvalidArgumentError(`expected a whole number from 1 to ${MOST_ATTESTATIONS}.`);
  return value;
}

function tokens(text: string): number {
  const value = Number(text);
  if (!/^[0-9]+$/.test(text) || value < 1 || value > 32_768)
    throw new InvalidArgumentError('expected a whole number from 1 to 32768.');
  return value;
}

async function run(flags: Flags, environment: CliEnvironment): Promise<void> {
  checkFlags(flags);
  // Late: help and wrong usage must not wait for it.
  const [{ initChain, refuseSecondChain }, { PayloadStore }, { openRocksKv }] = await Promise.all([
    import('#coordinator/chain/init.ts'),
    import('#coordinator/store/payload-store.ts'),
    import('#coordinator/store/rocks-kv.ts'),
  ]);
  const base = await baseOptions(flags, environment);
  const kv = await openRocksKv(join(flags.dataDir, 'store'));
  const make: Make = (content, watch) =>
    initChain({ kv, payloads: new PayloadStore(kv) }, { ...base, ...(content && { content }) }, watch);
  try {
    await refuseSecondChain(kv, flags.dataDir); // before gigabytes are read
    if (flags.model === undefined) print(await make(undefined, UNWATCHED), { flags, environment });
    else await runModel(flags, environment, make);
  } finally {
    await kv.close();
  }
}

type Make = (content: GenesisContent | undefined, watch: Watch) => Promise<InitResult>;

async function baseOptions(flags: Flags, environment: CliEnvironment): Promise<InitOptions> {
  const { dataDir, dev, name, governorKeyFile, attestations } = flags;
  return {
    dataDir,
    name: dev ? 'AI-Block development network' : name,
    dev: dev === true,
    nowMs: environment.now(),
    attestations,
    ...(governorKeyFile !== undefined && { governorSecret: await secretIn(governorKeyFile) }),
  };
}

async function secretIn(file: string): Promise<Uint8Array> {
  const { MAX_SMALL_TEXT_BYTES, readOptionFile } = await import('#coordinator/import/text-files.ts');
  return fromHex((await readOptionFile(file, MAX_SMALL_TEXT_BYTES)).trim(), 32, '--governor-key-file');
}

/** Opens and checks the checkpoint before anything is written, then makes the chain of it. */
async function runModel(flags: Flags, environment: CliEnvironment, make: Make): Promise<void> {
  const [{ openCheckpoint }, { contentOf }] = await Promise.all([
    import('#coordinator/import/open-checkpoint.ts'),
    import('#coordinator/import/genesis-content.ts'),
  ]);
  const { dataDir, model = '' } = flags;
  const { hub, signal } = environment;
  const progress = flags.json ? SILENT : new ImportBar(environment);
  const watch: Watch = { signal, progress };
  let checkpoint: Checkpoint | undefined;
  try {
    const options = await contentOptions(flags);
    checkpoint = await openCheckpoint({ model, dataDir, hub }, watch);
    const result = await make(await contentOf(checkpoint, options, watch), watch);
    await checkpoint.close();
    await checkpoint.discard?.();
    print(result, { flags, environment, source: checkpoint.source });
  } catch (error) {
    if (signal.aborted)
      progress.note('No chain was made. The same command goes on with what is downloaded and stored.');
    throw error;
  } finally {
    progress.end();
    await checkpoint?.close();
  }
}

function checkFlags(flags: Flags): void {
  must(
    !(flags.dev && flags.model),
    'OPTION',
    '--dev and --model: the development network has a model of its own',
  );
  must(
    !(flags.dev && flags.attestations !== undefined),
    'OPTION',
    '--dev and --attestations: the development network is the same everywhere',
  );
  for (const [flag, value] of Object.entries({
    '--validation-text': flags.validationText,
    '--window': flags.window,
    '--rules': flags.rules,
  }))
    must(value === undefined || flags.model, 'OPTION', `${flag}: only together with --model`);
}

async function contentOptions(flags: Flags): Promise<ContentOptions> {
  const [{ builtInText, ownText }, { readRules }] = await Promise.all([
    import('#coordinator/import/validation-text.ts'),
    import('#coordinator/import/rules-file.ts'),
  ]);
  return {
    text: flags.validationText === undefined ? builtInText() : await ownText(flags.validationText),
    ...(flags.rules !== undefined && { rules: await readRules(flags.rules) }),
    ...(flags.window !== undefined && { window: flags.window }),
  };
}

interface Shown {
  readonly flags: Flags;
  readonly environment: CliEnvironment;
  readonly source?: string;
}

function print(result: InitResult, { flags, environment, source }: Shown): void {
  const usual = environment.settings.dataDir;
  environment.out(flags.json ? json(result, flags) : report(result, flags, { source, usual }));
}

function json(result: InitResult, { dataDir }: Flags): string {
  return `${JSON.stringify({ ...result, networkId: toHex(result.networkId), dataDir })}\n`;
}

function report(
  result: InitResult,
  flags: Flags,
  { source, usual }: { source: string | undefined; usual: string },
): string {
  // As it can be copied: the folder has to be named to the next commands, too.
  const at = flags.dataDir === usual ? '' : ` --data-dir ${shellWord(flags.dataDir)}`;
  const unsafe = flags.dev ? '  (unsafe: everybody has this key)' : '';
  return [
    `Network   ${toHex(result.networkId)}`,
    ...(source === undefined ? [] : [`Model     ${source}`]),
    `Governor  ${result.governor}${unsafe}`,
    `Pool      ${result.pool}${unsafe}`,
    `Blocks    A0, B0 to B${result.blocks - 1}`,
    `Keys      ${join(flags.dataDir, 'keys')}: keep a copy of this folder where nobody else reads it`,
    '',
    `Next: aiblock coordinator${at}, then aiblock worker${at} on this machine, or aiblock worker with a token on another.`,
    '',
  ].join('\n');
}

/** A text as a shell reads it back. */
function shellWord(text: string): string {
  return /^[\w./:@%+=,-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}
