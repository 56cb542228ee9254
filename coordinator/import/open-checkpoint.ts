import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Checkpoint } from '#coordinator/import/checkpoint.ts';
import { openFolder } from '#coordinator/import/folder.ts';
import { openGguf } from '#coordinator/import/gguf/open-gguf.ts';
import type { HubAccess } from '#coordinator/import/hub/access.ts';
import { type HubId, parseHubId } from '#coordinator/import/hub/hub-id.ts';
import type { Watch } from '#coordinator/progress.ts';
import { must } from '#shared/errors/pool-error.ts';

/** What people name who want the folder around it. */
const PART_OF_FOLDER = /\.(safetensors|bin|json)$/;

export interface ModelSource {
  /** A folder, a GGUF file, or an id of the Hub. */
  readonly model: string;
  /** Downloads are kept in it until a chain stands on them. */
  readonly dataDir: string;
  readonly hub: () => HubAccess;
}

/** Opens what `--model` names. OPTION where it is nothing; else the codes of its kind. */
export async function openCheckpoint(source: ModelSource, watch: Watch): Promise<Checkpoint> {
  const { model } = source;
  const opened = await openPath(model, model, watch);
  if (opened) return opened;
  const id = parseHubId(model);
  must(
    id && !/^[.~]/.test(model),
    'OPTION',
    `--model: there is no folder or file ${model}, and it is no id of the Hub (ORG/NAME, ORG/NAME@REVISION)`,
  );
  return openHub(id, source, watch);
}

async function openHub(id: HubId, { dataDir, hub }: ModelSource, watch: Watch): Promise<Checkpoint> {
  // Late: most imports need no hub.
  const { downloadFromHub } = await import('#coordinator/import/hub/download.ts');
  const options = { access: hub(), cacheDir: join(dataDir, 'hub') };
  const { path, source, discard } = await downloadFromHub(id, options, watch);
  const checkpoint = await openPath(path, source, watch);
  must(checkpoint, 'CHECKPOINT', `${path} is gone`);
  return { ...checkpoint, discard };
}

async function openPath(path: string, source: string, { signal }: Watch): Promise<Checkpoint | null> {
  const info = await stat(path).catch(() => undefined);
  if (info?.isDirectory()) return openFolder(path, source);
  must(
    !(info?.isFile() && PART_OF_FOLDER.test(path)),
    'CHECKPOINT',
    `${path} is one file of a model: name the folder that it is in`,
  );
  if (info?.isFile()) return openGguf(path, { source, signal });
  return null;
}
