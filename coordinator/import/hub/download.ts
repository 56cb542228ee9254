import { mkdir, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { type ListFileEntry, listFiles, modelInfo } from '@huggingface/hub';
import { z } from 'zod';
import type { HubAccess } from '#coordinator/import/hub/access.ts';
import { downloadHubFile, type HubRepo } from '#coordinator/import/hub/download-file.ts';
import { hubError } from '#coordinator/import/hub/hub-error.ts';
import type { HubId } from '#coordinator/import/hub/hub-id.ts';
import { folderWithRoom, onDisk } from '#coordinator/import/hub/on-disk.ts';
import type { Watch } from '#coordinator/progress.ts';
import { must, PoolError } from '#shared/errors/pool-error.ts';

/** What an import reads of a repository; the rest (other formats, pictures) stays where it is. */
const TEXTS = [
  ...['config.json', 'tokenizer.json', 'tokenizer_config.json', 'chat_template.jinja'],
  'generation_config.json',
];
const WEIGHTS = 'model.safetensors';
const PARTS = /^model-\d{5}-of-\d{5}\.safetensors$/;
const INDEX = 'model.safetensors.index.json';
/** More than any model has; a list without end is not waited for. */
const MAX_LISTED = 10_000;
const REQUEST_MS = 60_000;
const SHOWN = 5;

/** What is read of an entry: a size or hash that is none would pass for any file. */
const entrySchema = z.looseObject({
  type: z.string(),
  path: z.string(),
  size: z.int().min(0),
  oid: z.string().optional(),
  lfs: z.looseObject({ oid: z.string() }).optional(),
});

export interface HubDownload {
  /** A model folder, or a GGUF file. */
  readonly path: string;
  /** The id with the commit that was taken. */
  readonly source: string;
  /** Removes what was downloaded. */
  discard(): Promise<void>;
}

/**
 * Downloads a model into `cacheDir`, at the commit that its revision names now. What an earlier try has brought stays
 * and is gone on with. NOT_FOUND, UNAUTHORISED, CHECKPOINT where it has nothing to import, HUB for the rest.
 */
export async function downloadFromHub(
  id: HubId,
  { access, cacheDir }: { access: HubAccess; cacheDir: string },
  watch: Watch,
): Promise<HubDownload> {
  const repo = await resolved(id, access, watch);
  const files = chosen(await listed(repo, id, watch), id);
  const dir = join(cacheDir, repo.name.replace('/', '--'), repo.commit);
  await folderWithRoom(dir, await missingBytes(dir, files));
  for (const file of files) {
    await onDisk(dir, () => mkdir(dirname(join(dir, file.path)), { recursive: true }));
    await downloadHubFile(repo, { file, path: join(dir, file.path) }, watch);
  }
  return {
    path: id.file === null ? dir : join(dir, id.file),
    source: `${repo.name}${id.file === null ? '' : `/${id.file}`}@${repo.commit}`,
    discard: () => rm(dir, { recursive: true, force: true }),
  };
}

/** What is still to come: files, and parts of files, that are there count as they are. */
async function missingBytes(dir: string, files: readonly ListFileEntry[]): Promise<number> {
  const sizeOf = async (path: string) => (await stat(path).catch(() => ({ size: 0 }))).size;
  let missing = 0;
  for (const { path, size } of files) {
    const there = Math.max(await sizeOf(join(dir, path)), await sizeOf(join(dir, `${path}.part`)));
    missing += Math.max(0, size - there);
  }
  return missing;
}

/** A branch may move while files are read: everything after this is asked of one commit. */
async function resolved(id: HubId, access: HubAccess, { signal }: Watch): Promise<HubRepo> {
  const info = await asked(id, access, () =>
    modelInfo({
      name: id.repo,
      ...(id.revision !== null && { revision: id.revision }),
      additionalFields: ['sha'],
      ...request(access, signal),
    }),
  );
  const { sha } = info as { sha?: unknown };
  must(
    typeof sha === 'string' && /^[0-9a-f]{40}$/.test(sha),
    'HUB',
    `${id.repo}: the hub named no commit for it`,
  );
  return { name: id.repo, commit: sha, access };
}

async function listed(repo: HubRepo, id: HubId, { signal }: Watch): Promise<ListFileEntry[]> {
  return asked(id, repo.access, async () => {
    const files: ListFileEntry[] = [];
    const list = listFiles({
      repo: repo.name,
      revision: repo.commit,
      recursive: id.file?.includes('/') ?? false,
      ...request(repo.access, signal),
    });
    for await (const file of list) {
      must(files.length < MAX_LISTED, 'HUB', `${id.repo}: expected at most ${MAX_LISTED} files`);
      must(
        entrySchema.safeParse(file).success,
        'HUB',
        `${id.repo}: entry ${files.length} of the list of files is none`,
      );
      files.push(file);
    }
    return files;
  });
}

/** The files to download; CHECKPOINT where the repository lacks one that is needed. */
function chosen(files: readonly ListFileEntry[], { repo, file: wanted }: HubId): ListFileEntry[] {
  const found = new Map(files.filter(({ type }) => type === 'file').map((file) => [file.path, file]));
  const pick = (paths: readonly string[]) => paths.flatMap((path) => found.get(path) ?? []);
  if (wanted !== null) {
    must(found.has(wanted), 'CHECKPOINT', `${repo} has no file ${wanted}${ggufHint(repo, found)}`);
    return pick([wanted]);
  }
  must(found.has('config.json'), 'CHECKPOINT', `${repo} has no config.json${ggufHint(repo, found)}`);
  if (found.has(WEIGHTS)) return pick([...TEXTS, WEIGHTS]);
  must(
    found.has(INDEX),
    'CHECKPOINT',
    `${repo} has no weights as safetensors (${WEIGHTS} or ${INDEX})${ggufHint(repo, found)}`,
  );
  return pick([...TEXTS, INDEX, ...[...found.keys()].filter((path) => PARTS.test(path)).sort()]);
}

function ggufHint(repo: string, found: ReadonlyMap<string, unknown>): string {
  const files = [...found.keys()].filter((path) => path.endsWith('.gguf'));
  if (files.length === 0) return '';
  const shown = files.slice(0, SHOWN).map((path) => `${repo}/${path}`);
  return `; of its GGUF files name one: ${shown.join(', ')}${files.length > SHOWN ? ', …' : ''}`;
}

function request({ endpoint, token }: HubAccess, signal: AbortSignal) {
  const limited: typeof fetch = async (url, init) => {
    // The next page of a list stands where the last one says: the token must not go there.
    const { origin } = new URL(url instanceof Request ? url.url : url);
    const home = new URL(endpoint).origin;
    must(token === undefined || origin === home, 'HUB', `${endpoint} sends to ${origin}`);
    return fetch(url, { ...init, signal: AbortSignal.any([signal, AbortSignal.timeout(REQUEST_MS)]) });
  };
  return { hubUrl: endpoint, fetch: limited, ...(token !== undefined && { accessToken: token }) };
}

/** What the hub or the line answers, as one of our codes. */
async function asked<T>({ repo, revision }: HubId, access: HubAccess, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (cause) {
    if (cause instanceof PoolError) throw cause;
    throw hubError(cause, { what: revision === null ? repo : `${repo}@${revision}`, access });
  }
}
