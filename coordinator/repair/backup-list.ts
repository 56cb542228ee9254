import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { PoolError } from '#shared/errors/pool-error.ts';
import { firstIssue } from '#shared/errors/schema-issue.ts';

/** The list of a backup's files lies beside them, and is written last: a folder without it is no backup. */
export const LIST_NAME = 'backup.json';

/** Files that a backup may hold. Nothing else is written into a data folder, wherever a list may point. */
const PATH =
  /^(store\/mark|store\/db\/[A-Za-z0-9][\w.-]*|spool\/[0-9a-f]{64}\/[0-9a-f]{64}|keys\/[a-z][a-z0-9-]*|worker-token)$/;
const hex32 = z.string().regex(/^[0-9a-f]{64}$/);

/** What a pool is at one moment: equal of a pool, its backup, and what is restored from it. */
export const poolStateSchema = z.strictObject({
  network: hex32,
  name: z.string(),
  height: z.strictObject({ A: z.int().nonnegative(), B: z.int().nonnegative() }),
  /** Model root at the head. */
  root: hex32,
  journal: z.strictObject({ seq: z.int().nonnegative(), head: hex32, root: hex32 }),
});
export type PoolState = z.infer<typeof poolStateSchema>;

const listSchema = z.strictObject({
  v: z.literal(1),
  /** Unix milliseconds. */
  at: z.int().nonnegative(),
  software: z.string(),
  pool: poolStateSchema,
  /** True where the pool's secret keys are among the files. */
  keys: z.boolean(),
  files: z.array(
    z.strictObject({ path: z.string().regex(PATH), bytes: z.int().nonnegative(), sha256: hex32 }),
  ),
});
export type BackupList = z.infer<typeof listSchema>;
export type BackupFile = BackupList['files'][number];

/** OPTION where the folder holds no backup, STORE_CORRUPT where its list is damaged. */
export async function readBackupList(dir: string): Promise<BackupList> {
  const path = join(dir, LIST_NAME);
  const text = await readFile(path, 'utf8').catch((cause: NodeJS.ErrnoException) => {
    throw new PoolError('OPTION', `${dir} holds no backup: ${LIST_NAME}: ${cause.code}`, {}, { cause });
  });
  const damaged = (why: string) =>
    new PoolError('STORE_CORRUPT', `${path} is damaged (${why}); use another backup`);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw damaged((error as Error).message);
  }
  const parsed = listSchema.safeParse(value);
  if (!parsed.success) throw damaged(firstIssue(parsed.error));
  return parsed.data;
}

/** All files below a folder with their hashes, in the order of their paths. */
export async function listFiles(dir: string): Promise<BackupFile[]> {
  const found = await readdir(dir, { recursive: true, withFileTypes: true });
  const paths = found
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(dir.length + 1));
  const files: BackupFile[] = [];
  for (const path of paths.sort()) files.push({ path, ...(await hashOf(join(dir, path))) });
  return files;
}

export async function hashOf(path: string): Promise<{ bytes: number; sha256: string }> {
  const sha = createHash('sha256');
  let bytes = 0;
  for await (const chunk of createReadStream(path) as AsyncIterable<Uint8Array>) {
    sha.update(chunk);
    bytes += chunk.length;
  }
  return { bytes, sha256: sha.digest('hex') };
}
