import { stat } from 'node:fs/promises';
import type { Checkpoint } from '#coordinator/import/checkpoint.ts';
import { openFolder } from '#coordinator/import/folder.ts';
import type { Watch } from '#coordinator/progress.ts';
import { must } from '#shared/errors/pool-error.ts';

/** Opens what `--model` names. OPTION where it is nothing; else the codes of its kind. */
export async function openCheckpoint(model: string, _watch: Watch): Promise<Checkpoint> {
  const info = await stat(model).catch(() => undefined);
  if (info?.isDirectory()) return openFolder(model);
  must(false, 'OPTION', `--model: there is no folder or file ${model}`);
}
