import { z } from 'zod';
import type { BehaviourRule } from '#coordinator/chain/genesis/dev-rules.ts';
import { MAX_SMALL_TEXT_BYTES, readTextFile } from '#coordinator/import/text-files.ts';
import { PoolError } from '#shared/errors/pool-error.ts';
import { firstIssue } from '#shared/errors/schema-issue.ts';

const text = z.string().trim().min(1);
const rulesSchema = z.array(z.strictObject({ name: text, text })).min(1);

/** The behaviour rules of a pool of one's own: a JSON list of `{"name", "text"}`. OPTION. */
export async function readRules(path: string): Promise<BehaviourRule[]> {
  const json = await readTextFile(path, MAX_SMALL_TEXT_BYTES);
  const wanted = `--rules ${path}: expected a JSON list of {"name": …, "text": …}`;
  if (json === null) throw new PoolError('OPTION', `--rules: there is no file ${path}`);
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch (cause) {
    throw new PoolError('OPTION', wanted, {}, { cause });
  }
  const parsed = rulesSchema.safeParse(value);
  if (parsed.success) return parsed.data;
  throw new PoolError('OPTION', `${wanted}; ${firstIssue(parsed.error)}`);
}
