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
