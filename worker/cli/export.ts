import type { Command } from 'commander';
import type { ExportedModel } from '#worker/audit/export-model.ts';
import { type CommandEnvironment, examples, folderOption, poolAddress } from '#worker/cli/command.ts';

interface ExportFlags {
  readonly coordinator?: string;
  readonly dataDir?: string;
  readonly force: boolean;
  readonly json: boolean;
}

/** `aiblock export`: the head as a Hugging Face folder. */
export function register(program: Command, environment: CommandEnvironment): void {
  const { settings } = environment;
  program
    .command('export')
    .summary('write the head as a Hugging Face folder')
    .description(
      'Writes the model at the head as a folder that transformers and others load: config.json, tokenizer, chat template, and the weights as safetensors with the bytes that stand on the chain, in parts of 5 GB where they are large.',
    )
    .argument('<dir>', 'a new or empty folder')
    .option('--coordinator <url>', `address of the pool (default: ${settings.coordinatorUrl})`)
    .addOption(folderOption(settings))
    .option('--force', 'replace files of the same names in a folder that is not empty', false)
    .option('--json', 'one JSON object', false)
    .addHelpText(
      'after',
      examples(
        'aiblock export ./my-model',
        'aiblock export ./my-model --force --coordinator https://pool.example',
        `python -c "from transformers import pipeline as p; print(p('text-generation', './my-model')('Call me'))"`,
      ),
    )
    .action((dir: string, flags: ExportFlags) => run(dir, flags, environment));
}

async function run(dir: string, flags: ExportFlags, environment: CommandEnvironment): Promise<void> {
  const { signal, now, terminal, out, err, settings } = environment;
  // Late: help and wrong usage must not wait for all of it.
  const [{ openPool }, { HttpSource }, { ProgressBar, SILENT }, { exportModel }] = await Promise.all([
    import('#worker/audit/open-pool.ts'),
    import('#worker/audit/source.ts'),
    import('#worker/audit/progress.ts'),
    import('#worker/audit/export-model.ts'),
  ]);
  const progress = flags.json || !terminal ? SILENT : new ProgressBar(err, now);
  const pool = await openPool(poolAddress(flags, settings), signal);
  try {
    if (pool.note !== undefined && !flags.json) err(`${pool.note}\n`);
    const source = new HttpSource(pool.api, signal);
    const exported = await exportModel({ dir, force: flags.force }, { source, progress, signal });
    out(flags.json ? `${JSON.stringify(exported)}\n` : text(exported));
  } finally {
    await pool.close();
  }
}

function text({ dir, name, height, root, tensors, files }: ExportedModel): string {
  const width = Math.max(...files.map((file) => file.name.length));
  return [
    `The model of ${name.replaceAll(/\p{Cc}+/gu, ' ')} at B${height}, root ${root}, ${tensors} tensors, in ${dir}`,
    ...files.map((file) => `  ${file.name.padEnd(width)}  ${file.bytes.toLocaleString('en')} bytes`),
    '',
  ].join('\n');
}
