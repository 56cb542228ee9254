import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Environment, parseEnvironment } from '#shared/env.ts';

/** The environment variables of this process; OPTION with every fault at once. */
export function readEnvironment(): Environment {
  return parseEnvironment(process.env);
}

/**
 * The enrolment token: the one given, else that of the environment, else the file that a pool on this machine
 * leaves in its data folder. A worker whose key is enrolled already needs none.
 */
export async function workerToken(
  given: string | undefined,
  settings: Pick<Environment, 'workerToken'> & { dataDir: string },
): Promise<string | undefined> {
  const known = given ?? settings.workerToken;
  if (known !== undefined) return known;
  const text = await readFile(join(settings.dataDir, 'worker-token'), 'utf8').catch(() => '');
  return text.trim() || undefined;
}

/**
 * How libtensorflow behaves, where nobody said otherwise. It reads these variables when it is loaded, by which
 * time it is too late for options of ours.
 */
export function setTensorflowDefaults(): void {
  // Errors only: it greets with a page of remarks.
  process.env.TF_CPP_MIN_LOG_LEVEL ??= '2';
  // Several processes of a worker share a GPU, and the first must not take all of its memory.
  process.env.TF_FORCE_GPU_ALLOW_GROWTH ??= 'true';
}

/** The environment of a child process, with `changes` over it. */
export function childEnvironment(changes: Readonly<Record<string, string>> = {}): NodeJS.ProcessEnv {
  return { ...process.env, ...changes };
}

/** NVIDIA's number of the GPU that this process computes on. */
export function visibleGpu(): string {
  return /^[0-9]+/.exec(process.env.CUDA_VISIBLE_DEVICES ?? '')?.[0] ?? '0';
}
