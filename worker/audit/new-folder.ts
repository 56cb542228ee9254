import { randomUUID } from 'node:crypto';
import { mkdir, open, readdir, rename, rm } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { must, PoolError } from '#shared/errors/pool-error.ts';

export type FileBytes = Iterable<Uint8Array> | AsyncIterable<Uint8Array>;

/**
 * A folder that is filled under another name beside it and gets its own at the end, so that a crash or an error
 * leaves no half of it. STORE_IO where the disk refuses, OPTION where the folder is not empty.
 */
export class NewFolder {
  readonly dir: string;
  readonly files: { readonly name: string; readonly bytes: number }[] = [];
  readonly #temporary: string;
  /** What is in the folder already; only files of the same names make way. */
  readonly #there: readonly string[];

  private constructor(dir: string, there: readonly string[]) {
    this.dir = dir;
    this.#there = there;
    this.#temporary = `${dir}.${randomUUID()}.tmp`;
  }

  static async begin(path: string, force: boolean): Promise<NewFolder> {
    const dir = resolve(path);
    const there = await entriesOf(dir);
    must(
      there.length === 0 || force,
      'OPTION',
      `${dir}: expected a new or an empty folder; with --force its files of the same names are replaced`,
    );
    const folder = new NewFolder(dir, there);
    await io(dir, () => mkdir(folder.#temporary, { recursive: true }));
    return folder;
  }

  /** OPTION where a file is there that fits `pattern` and that no new one of `names` replaces. */
  refuseOthers(pattern: RegExp, names: readonly string[]): void {
    const other = this.#there.find((name) => pattern.test(name) && !names.includes(name));
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
    if (this.#there.length === 0) {
      // Replaces an empty folder, refuses one that was filled meanwhile.
      await io(this.dir, () => rename(this.#temporary, this.dir));
      return;
    }
    for (const { name } of this.files)
      await io(this.dir, () => rename(join(this.#temporary, name), join(this.dir, name)));
  }

  /** Removes what was not published. */
  async discard(): Promise<void> {
    await rm(this.#temporary, { recursive: true, force: true });
  }
}

async function entriesOf(dir: string): Promise<string[]> {
  try {
    return await readdir(dir);
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    if (code === 'ENOENT') return [];
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
