import type { Command } from 'commander';
import { type CommandEnvironment, examples } from '#worker/cli/command.ts';
import { runSubmission, type SubmissionFlags, submissionOptions } from '#worker/cli/submission.ts';

/** `aiblock upload`: a whole or partial candidate. */
export function register(program: Command, environment: CommandEnvironment): void {
  const command = program
    .command('upload')
    .summary('submit better weights: a safetensors file or a model folder')
    .description(
      'Signs the tensors of a safetensors file, or of all those of a Hugging Face model folder, and submits those that differ from the head. An upload that breaks off goes on where it was, also when the command is run again. The key is made where it is missing; rewards go to it: keep a copy.',
    )
    .argument('<path>', 'safetensors file, or a folder with one or more of them');
  submissionOptions(command, environment)
    .addHelpText(
      'after',
      examples(
        'aiblock upload model.safetensors',
        'aiblock upload ./my-model --coordinator https://pool.example',
        'aiblock upload ./my-model --key-file ~/keys/miner --no-wait --json',
      ),
    )
    .action((path: string, flags: SubmissionFlags) =>
      runSubmission(flags, environment, async ({ tensors }) => {
        const { readTensors } = await import('#worker/submit/local-tensors.ts');
        return readTensors(path, tensors);
      }),
    );
}
