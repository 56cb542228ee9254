import { chmod, copyFile, link, mkdir, readdir, rename, rm, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { type BackupList, hashOf, LIST_NAME, listFiles } from '#coordinator/repair/backup-list.ts';
import { copyInto, exists, mustBeEmpty, syncTree } from '#coordinator/repair/files.ts';
import { readPool } from '#coordinator/repair/pool-state.ts';
import { copyStore } from '#coordinator/store/copy-store.ts';
import { ioError } from '#coordinator/store/io-error.ts';
import type { SubmissionRecord } from '#coordinator/store/submissions.ts';
import { toHex } from '#shared/crypto/bytes.ts';
import { SOFTWARE_VERSION } from '#shared/version.ts';

export interface BackupOptions {
  readonly dataDir: string;
  /** A new or empty folder. */
  readonly dir: string;
  /** Whether the secret keys of the pool go with it. */
  readonly keys: boolean;
  readonly now: () => number;
}

/** While it is written a backup has another name: one that is there is whole. */
const UNFINISHED = '.unfinished';
/** Second names of the payloads that wait, so that they stay while the store is copied. */
const HOLD = 'spool-copy';
const HASH = /^[0-9a-f]{64}$/;

/**
 * Writes a backup of a pool, which may be running: all that was acknowledged before the call. The copy is opened and
 * read to its last entry before it counts. OPTION, STORE_CORRUPT, STORE_LOCKED while another one is made, STORE_IO.
 */
export async function writeBackup({ dataDir, dir, keys, now }: BackupOptions): Promise<BackupList> {
  const target = resolve(dir);
  await mustBeEmpty(target);
  const draft = `${target}${UNFINISHED}`;
  await rm(draft, { recursive: true, force: true });
  await mkdir(draft, { recursive: true, mode: 0o700 });
  try {
    const pool = await copyPool(dataDir, draft, now);
    if (keys) await copyKeys(dataDir, draft);
    const list: BackupList = {
      v: 1,
      at: now(),
      software: SOFTWARE_VERSION,
      pool,
      keys,
      files: await listFiles(draft),
    };
    await writeFile(join(draft, LIST_NAME), `${JSON.stringify(list, null, 1)}\n`);
    await syncTree(draft);
    await rm(target, { recursive: true, force: true });
    await rename(draft, target);
    return list;
  } catch (error) {
    await rm(draft, { recursive: true, force: true });
    throw ioError(error, `write the backup ${dir}`);
  }
}

/** The store, and the payloads of what was pending in it. */
async function copyPool(dataDir: string, draft: string, now: () => number) {
  const hold = join(dataDir, HOLD);
  try {
    await rm(hold, { recursive: true, force: true });
    // Before and after the store: what is pending in the copy was in the spool at one of these times.
    await holdSpool(join(dataDir, 'spool'), hold);
    await copyStore(join(dataDir, 'store'), join(draft, 'store'));
    await holdSpool(join(dataDir, 'spool'), hold);
    const { state, pending } = await readPool(draft, now);
    await removeLogs(join(draft, 'store', 'db'));
    for (const record of pending) await copyPayloads(record, hold, join(draft, 'spool'));
    return state;
  } finally {
    await rm(hold, { recursive: true, force: true });
  }
}

/** What RocksDB writes for people to read, and the lock that it holds while it is open. */
async function removeLogs(db: string): Promise<void> {
  for (const name of await readdir(db)) if (/^LO(G|CK)\b/.test(name)) await rm(join(db, name));
}

async function holdSpool(spool: string, hold: string): Promise<void> {
  const folders = await readdir(spool).catch(() => []);
  for (const folder of folders.filter((name) => HASH.test(name))) {
    await mkdir(join(hold, folder), { recursive: true });
    for (const name of await readdir(join(spool, folder)).catch(() => [])) {
      const [from, to] = [join(spool, folder, name), join(hold, folder, name)];
      // Gone, or held already; a file system without second names copies.
      if (HASH.test(name)) await link(from, to).catch(() => copyFile(from, to).catch(() => undefined));
    }
  }
}

/** What is missing, or not what its name says, is left out: the pool asks for it again, as after any loss of it. */
async function copyPayloads(record: SubmissionRecord, hold: string, spool: string): Promise<void> {
  const folder = toHex(record.id);
  for (const { payloadHash } of record.tensors) {
    const from = join(hold, folder, toHex(payloadHash));
    if (!(await exists(from)) || (await hashOf(from)).sha256 !== toHex(payloadHash)) continue;
    await copyInto(from, join(spool, folder, toHex(payloadHash)));
  }
}

async function copyKeys(dataDir: string, draft: string): Promise<void> {
  const names = (await readdir(join(dataDir, 'keys'))).map((name) => join('keys', name));
  for (const name of [...names, 'worker-token']) {
    if (!(await exists(join(dataDir, name)))) continue;
    await copyInto(join(dataDir, name), join(draft, name));
    await chmod(join(draft, name), 0o600);
  }
}
