import { copyFile, link, mkdir, readdir, readFile, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { must } from '#shared/errors/pool-error.ts';
import { corrupt, ioError } from './io-error.ts';
import { acquirePidLock } from './pid-lock.ts';

/** The tables of a store under load change about once a second at most; a copy of the small files takes milliseconds. */
const MOST_ATTEMPTS = 100;
/** Tables never change once they are written: a second name keeps them while they are copied. */
const TABLE = /\.(sst|blob)$/;
const SMALL = /^(CURRENT|IDENTITY|MANIFEST-\d+|OPTIONS-\d+|\d+\.log)$/;
const HOLD = 'copy';

/**
 * Copies the store in `from` to the new folder `to`, also while a process writes to it: all that was acknowledged
 * before the call, and a prefix of what came meanwhile. The small files are copied again until the list of tables
 * (CURRENT and its manifest) was the same before and after, so that they fit each other; the log may break off in the
 * midst of a record, as after a crash. STORE_LOCKED while another copy is made, STORE_IO.
 */
export async function copyStore(from: string, to: string): Promise<void> {
  must(await exists(join(from, 'db', 'CURRENT')), 'OPTION', `${from} holds no store`);
  const lock = await acquirePidLock(from, 'copy-lock');
  const hold = join(from, HOLD);
  try {
    await copyFitting(from, to, hold);
    for (const name of await readdir(hold)) await copyFile(join(hold, name), join(to, 'db', name));
  } catch (error) {
    throw ioError(error, `copy the store ${from}`);
  } finally {
    await rm(hold, { recursive: true, force: true });
    await lock.release();
  }
}

async function copyFitting(from: string, to: string, hold: string): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    for (const folder of [join(to, 'db'), hold]) {
      await rm(folder, { recursive: true, force: true });
      await mkdir(folder, { recursive: true });
    }
    // First of all: what it counts must stand in the log that is copied after it.
    await copyFile(join(from, 'mark'), join(to, 'mark'));
    const before = await manifestOf(from);
    const found = await copyFiles(from, { small: join(to, 'db'), tables: hold });
    if (found && before !== '' && (await manifestOf(from)) === before) return;
    if (attempt === MOST_ATTEMPTS) throw corrupt(`the files of ${from} do not come to rest`);
  }
}

/** False where one of them went away meanwhile. */
async function copyFiles(from: string, to: { small: string; tables: string }): Promise<boolean> {
  const db = join(from, 'db');
  try {
    for (const name of await readdir(db)) {
      if (TABLE.test(name)) await holdTable(join(db, name), join(to.tables, name));
      else if (SMALL.test(name)) await copyFile(join(db, name), join(to.small, name));
    }
    return true;
  } catch (error) {
    if (isGone(error)) return false;
    throw error;
  }
}

/** Where the file system has no second names, the table is copied at once. */
async function holdTable(from: string, to: string): Promise<void> {
  try {
    await link(from, to);
  } catch (error) {
    if (isGone(error)) throw error;
    await copyFile(from, to);
  }
}

/** Changes whenever the list of tables does. */
async function manifestOf(store: string): Promise<string> {
  try {
    const name = (await readFile(join(store, 'db', 'CURRENT'), 'utf8')).trim();
    return `${name} ${(await stat(join(store, 'db', name))).size}`;
  } catch (error) {
    if (isGone(error)) return '';
    throw error;
  }
}

const isGone = (error: unknown): boolean => (error as NodeJS.ErrnoException).code === 'ENOENT';

function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}
