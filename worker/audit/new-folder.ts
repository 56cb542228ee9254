import { randomUUID } from 'node:crypto';
import { mkdir, open, readdir, rename, rm } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { must, PoolError } from '#shared/errors/pool-error.ts';

export type FileBytes = Iterable<Uint8Array> | AsyncIterable<Uint8Array>;

/**
 * A folder that is filled under another name and gets its own at the end, so that an error leaves no half of it.
 * One that is there already is filled in a folder within it: it may be a link, the current folder, or a disk of its
 * own. STORE_IO where the disk refuses, OPTION where the folder is not empty.
 */
export class NewFolder {
  readonly dir: string;
  readonly files: { readonly name: string; readonly bytes: number }[] = [];
  readonly #temporary: string;
  readonly #force: boolean;
  /** What is in the folder already, `null` where there is none; only files of the same names make way. */
  readonly #there: readonly string[] | null;

  private constructor(dir: string, force: boolean, there: readonly string[] | null) {
    this.dir = dir;
    this.#force = force;
    this.#there = there;
    this.#temporary = there === null ? `${dir}.${randomUUID()}.tmp` : join(dir, `.${randomUUID()}.tmp`);
  }

  static async begin(path: string, force: boolean): Promise<NewFolder> {
    const dir = resolve(path);
    const there = await entriesOf(dir);
    const folder = new NewFolder(dir, force, there);
    folder.#refuseFiles(there ?? []);
    await io(dir, () => mkdir(folder.#temporary, { recursive: true }));
    return folder;
  }

  /** OPTION where a file is there that fits `pattern` and that no new one of `names` replaces. */
  refuseOthers(pattern: RegExp, names: readonly string[]): void {
    const other = this.#there?.find((name) => pattern.test(name) && !names.includes(name));
    must(
      other === undefined,
      'OPTION',
      `${this.dir} holds ${other}, which does not belong to this model: remove it`,
    );
  }

  async write(name: string, content: FileBytes): Promise<void> {
    const path = join(this.#temporary, name);
    const file = await io(this.dir, () => open(path, 'wx'));
    let bytes = 0;
    try {
      for await (const piece of content) {
        await io(this.dir, () => file.writeFile(piece));
        bytes += piece.length;
      }
      await io(this.dir, () => file.sync());
    } finally {
      await file.close();
    }
    this.files.push({ name, bytes });
  }

  /** Gives everything its name. */
  async publish(): Promise<void> {
    if (this.#there === null) {
      // Refuses a folder that was made and filled meanwhile.
      await io(this.dir, () => rename(this.#temporary, this.dir));
      return;
    }
    const now = (await entriesOf(this.dir)) ?? [];
    this.#refuseFiles(now.filter((name) => join(this.dir, name) !== this.#temporary));
    for (const { name } of this.files)
      await io(this.dir, () => rename(join(this.#temporary, name), join(this.dir, name)));
  }

  /** Removes what was not published. */
  async discard(): Promise<void> {
    await rm(this.#temporary, { recursive: true, force: true });
  }

  #refuseFiles(names: readonly string[]): void {
    must(
      names.length === 0 || this.#force,
      'OPTION',
      `${this.dir}: expected a new or an empty folder; with --force its files of the same names are replaced`,
    );
  }
}

/** `null` where there is no such folder. */
async function entriesOf(dir: string): Promise<string[] | null> {
  try {
    return await readdir(dir);
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    if (code === 'ENOENT') return null;
    const what = code === 'ENOTDIR' ? 'it is a file, expected a folder' : `it cannot be read (${code})`;
    throw new PoolError('OPTION', `${dir}: ${what}`, {}, { cause });
  }
}

async function io<T>(dir: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (cause) {
    const code = (cause as NodeJS.ErrnoException).code ?? 'unknown error';
    throw new PoolError('STORE_IO', `${dir}: cannot be written (${code})`, {}, { cause });
  }
}
