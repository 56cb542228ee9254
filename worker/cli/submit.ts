import type { Command } from 'commander';
import { must } from '#shared/errors/pool-error.ts';
import { type CommandEnvironment, examples } from '#worker/cli/command.ts';
import { runSubmission, type SubmissionFlags, submissionOptions } from '#worker/cli/submission.ts';
import type { LocalTensor } from '#worker/submit/local-tensors.ts';

interface SubmitFlags extends SubmissionFlags {
  readonly name?: string;
}

/** `aiblock submit`: one tensor. */
export function register(program: Command, environment: CommandEnvironment): void {
  const command = program
    .command('submit')
    .summary('submit one tensor of better weights')
    .description(
      'Signs one tensor and submits it: of a safetensors file, or a file of nothing but its little-endian bytes (then with --name). The key is made where it is missing; rewards go to it: keep a copy.',
    )
    .argument('<file>', 'safetensors file, or the bytes of the tensor')
    .option('--name <tensor>', 'which tensor of the model it is, where the file holds several or no names');
  submissionOptions(command, environment)
    .addHelpText(
      'after',
      examples(
        'aiblock submit ln_f.safetensors',
        'aiblock submit model.safetensors --name transformer.ln_f.bias',
        'aiblock submit bias.bin --name transformer.ln_f.bias --json',
      ),
    )
    .action((file: string, flags: SubmitFlags) => run(file, flags, environment));
}

async function run(file: string, flags: SubmitFlags, environment: CommandEnvironment): Promise<void> {
  await runSubmission(flags, environment, async ({ tensors: wanted }) => {
    const { readRaw, readTensors } = await import('#worker/submit/local-tensors.ts');
    if (!file.endsWith('.safetensors') && flags.name !== undefined) {
      const named = wanted.find(({ name }) => name === flags.name);
      must(named, 'WEIGHTS_NAMES', () => `the pool's model has no tensor ${JSON.stringify(flags.name)}`);
      return [await readRaw(file, named)];
    }
    return [chosen(await readTensors(file, wanted), flags.name)];
  });
}

function chosen(tensors: readonly LocalTensor[], wanted: string | undefined): LocalTensor {
  const found = tensors.filter(({ name }) => wanted === undefined || name === wanted);
  const [tensor] = found;
  const names = tensors.map(({ name }) => name);
  must(
    tensor && found.length === 1,
    'OPTION',
    () =>
      `expected one tensor${wanted === undefined ? '' : ` named ${wanted}`}, the file holds ${names.slice(0, 5).join(', ')}${names.length > 5 ? ', …' : ''}: name one with --name, or send all with \`aiblock upload\``,
  );
  return tensor;
}
