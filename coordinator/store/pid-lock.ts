import { link, mkdir, readFile, rm, rmdir, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { kill, pid as ownPid } from 'node:process';
import { setTimeout as sleep } from 'node:timers/promises';
import { must, PoolError } from '#shared/errors/pool-error.ts';
import { ioError } from './io-error.ts';

export interface PidLock {
  /** Idempotent. */
  release(): Promise<void>;
}

/** What identifies a process beyond its pid, which the system gives to another one sooner or later. */
interface Holder {
  readonly pid: number;
  /** Boot and start time, or '' where the system does not tell: then the pid alone decides. */
  readonly born: string;
}

/** Replacing a dead holder's file takes milliseconds; a guard older than this was left by a crash. */
const GUARD_STALE_MS = 5_000;
const GUARD_RETRY_MS = 50;

/** Keeps apart the drafts of attempts that run at once in this process. */
let drafts = 0;

/**
 * Takes the lock file `name` in `dir` for this process, or throws STORE_LOCKED with the holder's pid.
 * A file left by a process that is gone (killed, machine restarted, pid given to another) is taken over.
 * It sees processes of its own pid namespace only; RocksDB's own lock covers the others.
 */
export async function acquirePidLock(dir: string, name: string): Promise<PidLock> {
  const path = join(dir, name);
  try {
    await mkdir(dir, { recursive: true });
    while (!(await create(path))) {
      const holder = await readHolder(path);
      if (holder && (await isAlive(holder))) {
        throw new PoolError('STORE_LOCKED', `process ${holder.pid} uses the folder ${dir}: stop it first`, {
          pid: holder.pid,
        });
      }
      await removeStale(path);
    }
  } catch (error) {
    throw ioError(error, `lock ${path}`);
  }
  let released: Promise<void> | undefined;
  return {
    release: () => {
      released ??= rm(path, { force: true });
      return released;
    },
  };
}

/** Puts the file there with its content in one step, so that nobody ever reads it half written. */
async function create(path: string): Promise<boolean> {
  const draft = `${path}.${ownPid}.${++drafts}`;
  const holder: Holder = { pid: ownPid, born: await bornOf(ownPid) };
  await writeFile(draft, `${JSON.stringify(holder)}\n`);
  try {
    await link(draft, path);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  } finally {
    await rm(draft, { force: true });
  }
}

/** Two processes may find the same dead holder: under the guard only one of them removes its file. */
async function removeStale(path: string): Promise<void> {
  const guard = `${path}.takeover`;
  try {
    await mkdir(guard);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    const age = await stat(guard).then(
      ({ mtimeMs }) => Date.now() - mtimeMs,
      () => 0,
    );
    if (age > GUARD_STALE_MS) await rmdir(guard).catch(() => undefined);
    await sleep(GUARD_RETRY_MS);
    return;
  }
  try {
    const holder = await readHolder(path);
    if (!holder || !(await isAlive(holder))) await rm(path, { force: true });
  } finally {
    await rmdir(guard);
  }
}

async function readHolder(path: string): Promise<Holder | undefined> {
  try {
    const { pid, born } = JSON.parse(await readFile(path, 'utf8')) as Partial<Holder>;
    must(Number.isSafeInteger(pid) && typeof born === 'string', 'STORE_IO', `${path} is not a lock file`);
    return { pid: pid as number, born };
  } catch {
    return undefined; // gone in the meantime, or damaged: nobody's
  }
}

async function isAlive(holder: Holder): Promise<boolean> {
  try {
    kill(holder.pid, 0);
  } catch (error) {
    // EPERM: it lives and belongs to another user.
    if ((error as NodeJS.ErrnoException).code !== 'EPERM') return false;
  }
  const born = await bornOf(holder.pid);
  return born === '' || holder.born === '' || born === holder.born;
}

async function bornOf(pid: number): Promise<string> {
  try {
    const [boot, line] = await Promise.all([
      readFile('/proc/sys/kernel/random/boot_id', 'utf8'),
      readFile(`/proc/${pid}/stat`, 'utf8'),
    ]);
    // proc(5): the name in brackets may hold blanks; the start time is the 20th field after it.
    const start = line.slice(line.lastIndexOf(')') + 2).split(' ')[19];
    return start === undefined ? '' : `${boot.trim()}/${start}`;
  } catch {
    return '';
  }
}
