import { join } from 'node:path';
import { type Command, InvalidArgumentError } from 'commander';
import type { ModelView } from '#shared/api/schemas.ts';
import { PoolError } from '#shared/errors/pool-error.ts';
import { addKeystoreOptions, type CommandEnvironment } from '#worker/cli/command.ts';
import { submissionReporter } from '#worker/cli/submission-report.ts';
import type { LocalTensor } from '#worker/submit/local-tensors.ts';

/** What `submit` and `upload` have in common. */
export interface SubmissionFlags {
  readonly coordinator: string;
  readonly dataDir: string;
  readonly keyFile?: string;
  readonly keystore?: string;
  readonly passwordFile?: string;
  readonly base?: string;
  readonly wait?: boolean;
  readonly json: boolean;
}

export function submissionOptions(command: Command, { settings, terminal }: CommandEnvironment): Command {
  return addKeystoreOptions(command)
    .option('--coordinator <url>', 'address of the pool', settings.coordinatorUrl)
    .option('--data-dir <folder>', 'folder of the miner: key, and uploads that were begun', settings.dataDir)
    .option('--key-file <file>', 'key to sign with (default: DATA-DIR/miner/key)')
    .option('--base <root>', 'model root that the weights were trained from (default: the head)', rootOption)
    .option('--wait', 'wait for the verdict and tell it (default at a terminal)', terminal)
    .option('--no-wait', 'end when the pool has the bytes')
    .option('--json', 'one JSON object per line', false);
}

function rootOption(text: string): string {
  if (!/^[0-9a-f]{64}$/.test(text)) throw new InvalidArgumentError('expected 64 lower-case hex digits.');
  return text;
}

/** Reads the pool's model, then the tensors that fit it, sends them, and waits for the verdict where that is wanted. */
export async function runSubmission(
  flags: SubmissionFlags,
  environment: CommandEnvironment,
  read: (model: ModelView) => Promise<LocalTensor[]>,
): Promise<void> {
  const { signal, random } = environment;
  // Late: help and wrong usage must not wait for the cryptography.
  const [{ ApiClient }, { signingKey }, { BegunUploads }, { follow, submit }] = await Promise.all([
    import('#worker/client/api-client.ts'),
    import('#worker/wallet/signing-key.ts'),
    import('#worker/submit/begun-uploads.ts'),
    import('#worker/submit/submit.ts'),
  ]);
  const api = new ApiClient(flags.coordinator);
  const model = await api.model(signal);
  const tensors = await read(model);
  const key = await signingKey(flags, join(flags.dataDir, 'miner', 'key'), environment);
  const begun = new BegunUploads(join(flags.dataDir, 'miner', 'uploads'));
  const { report, end } = submissionReporter(environment, flags.json);
  try {
    const parts = { api, begun, key, report, random };
    const received = await submit({ tensors, model, base: flags.base }, parts, signal);
    if (flags.wait !== true) {
      report({ type: 'state', submission: received });
      return;
    }
    const { state, error } = await follow(received, parts, signal);
    if (state === 'rejected') throw PoolError.fromObject(error);
  } finally {
    end();
  }
}
