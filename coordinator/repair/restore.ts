import { chmod, mkdir, readdir, readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { type BackupFile, type BackupList, hashOf, readBackupList } from '#coordinator/repair/backup-list.ts';
import { copyInto, exists, syncTree } from '#coordinator/repair/files.ts';
import { readPool } from '#coordinator/repair/pool-state.ts';
import { ioError } from '#coordinator/store/io-error.ts';
import { acquirePidLock } from '#coordinator/store/pid-lock.ts';
import { must, PoolError } from '#shared/errors/pool-error.ts';

export interface RestoreOptions {
  readonly dir: string;
  readonly dataDir: string;
  /** Sets a store that is there aside instead of refusing. */
  readonly replace: boolean;
  readonly now: () => number;
}

export interface Restored {
  readonly list: BackupList;
  /** Where the store that was there before lies now. */
  readonly setAside: string | undefined;
  /** Whether the folder has the keys without which nobody can go on with the chain. */
  readonly keys: boolean;
}

const DRAFT = 'restoring';

/**
 * Puts a backup into a data folder: every file by its hash, beside what is there, then opened and held against what
 * the backup's list says of the pool, then put in place. A store that is there stays, or is set aside; keys that are
 * there stay. OPTION, STORE_CORRUPT for a damaged backup, STORE_LOCKED while a pool runs on the folder, STORE_IO.
 */
export async function restoreBackup({ dir, dataDir, replace, now }: RestoreOptions): Promise<Restored> {
  const list = await readBackupList(dir);
  const store = join(dataDir, 'store');
  const isThere = await exists(store);
  must(
    !isThere || replace,
    'OPTION',
    `${store} is there already: expected a folder without a store, or --replace to set it aside`,
  );
  const draft = join(dataDir, DRAFT);
  try {
    await mkdir(dataDir, { recursive: true });
    // Held while the folder changes: no pool may start on it, and none may run.
    const lock = isThere ? await acquirePidLock(store, 'lock') : undefined;
    try {
      await rm(draft, { recursive: true, force: true });
      await mkdir(draft, { mode: 0o700 });
      for (const file of list.files) await take(file, dir, draft);
      await check(list, draft, now);
      await syncTree(draft);
      await keepKeys(list, draft, dataDir);
      await moveSpool(draft, dataDir);
      const setAside = isThere ? `${store}-${now()}` : undefined;
      if (setAside !== undefined) {
        await rename(store, setAside);
        await rm(join(setAside, 'lock'), { force: true });
      }
      // From here on a lock of that name would be another pool's.
      await lock?.release();
      await rename(join(draft, 'store'), store);
      await syncTree(store);
      return { list, setAside, keys: await exists(join(dataDir, 'keys', 'salts')) };
    } finally {
      await lock?.release();
    }
  } catch (error) {
    throw ioError(error, `restore ${dir}`);
  } finally {
    await rm(draft, { recursive: true, force: true });
  }
}

async function take({ path, bytes, sha256 }: BackupFile, dir: string, draft: string): Promise<void> {
  const to = join(draft, path);
  await copyInto(join(dir, path), to).catch((cause: NodeJS.ErrnoException) => {
    if (cause.code !== 'ENOENT') throw cause;
    throw new PoolError('STORE_CORRUPT', `the backup lacks ${path}; use another backup`, {}, { cause });
  });
  // Of the copy: so that the bytes that were checked are those that will be used.
  const found = await hashOf(to);
  must(
    found.bytes === bytes && found.sha256 === sha256,
    'STORE_CORRUPT',
    `the backup is damaged: ${path} has other bytes than its list says; use another backup`,
  );
}

async function check({ pool }: BackupList, draft: string, now: () => number): Promise<void> {
  const { state } = await readPool(draft, now);
  must(
    isDeepStrictEqual(state, pool),
    'STORE_CORRUPT',
    () => `the backup holds another pool than its list says: ${JSON.stringify(state)}`,
  );
}

/** A key that is there stays; OPTION where it is another than the backup's. */
async function keepKeys({ files }: BackupList, draft: string, dataDir: string): Promise<void> {
  const secrets = files.map(({ path }) => path).filter((path) => !/^(store|spool)\//.test(path));
  for (const path of secrets) {
    const to = join(dataDir, path);
    if (!(await exists(to))) continue;
    const same = (await readFile(to, 'utf8')).trim() === (await readFile(join(draft, path), 'utf8')).trim();
    must(same, 'OPTION', `${to} is another key than the backup's: move it away first`);
  }
  for (const path of secrets) {
    const to = join(dataDir, path);
    if (await exists(to)) continue;
    await copyInto(join(draft, path), to);
    await chmod(to, 0o600);
  }
  if (secrets.some((path) => path.startsWith('keys/'))) await syncTree(join(dataDir, 'keys'));
}

/** Payloads that wait, beside those of uploads under way. */
async function moveSpool(draft: string, dataDir: string): Promise<void> {
  const from = join(draft, 'spool');
  if (!(await exists(from))) return;
  for (const submission of await readdir(from)) {
    const to = join(dataDir, 'spool', submission);
    await rm(to, { recursive: true, force: true });
    await mkdir(join(dataDir, 'spool'), { recursive: true });
    await rename(join(from, submission), to);
  }
}
