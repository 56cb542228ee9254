import { createHash } from 'node:crypto';
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { PoolError } from '#shared/errors/pool-error.ts';
import type { ClaimedBase, HashedTensor } from '#worker/submit/sign-file.ts';

const hex32 = z.string().regex(/^[0-9a-f]{64}$/);
const begunSchema = z.strictObject({ root: hex32, meta: hex32, network: hex32, salt: hex32 });

/**
 * Which base and salt an interrupted upload was signed with: the head may have moved since, and another base makes
 * another submission, of which the pool has no byte and no claim. One small file each.
 */
export class BegunUploads {
  readonly #dir: string;

  constructor(dir: string) {
    this.#dir = dir;
  }

  /** The base of an upload of these tensors that was begun before; undefined where there is none. */
  async find(tensors: readonly HashedTensor[], now: ClaimedBase): Promise<ClaimedBase | undefined> {
    const text = await readFile(this.#path(tensors), 'utf8').catch(() => undefined);
    if (text === undefined) return undefined;
    try {
      const begun = begunSchema.parse(JSON.parse(text));
      return begun.network === now.network && begun.meta === now.meta ? begun : undefined;
    } catch {
      return undefined; // a torn file: then it is begun anew
    }
  }

  async remember(tensors: readonly HashedTensor[], base: ClaimedBase): Promise<void> {
    try {
      await mkdir(this.#dir, { recursive: true });
      await writeFile(this.#path(tensors), JSON.stringify(base));
    } catch (cause) {
      const { code } = cause as NodeJS.ErrnoException;
      throw new PoolError('STORE_IO', `${this.#dir}: cannot be written (${code})`, {}, { cause });
    }
  }

  async forget(tensors: readonly HashedTensor[]): Promise<void> {
    await rm(this.#path(tensors), { force: true });
  }

  #path(tensors: readonly HashedTensor[]): string {
    const names = tensors.map(({ name, hash }) => `${hash} ${name}\n`).sort();
    return join(this.#dir, `${createHash('sha256').update(names.join('')).digest('hex')}.json`);
  }
}
