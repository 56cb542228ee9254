import { chmod, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { PoolError } from '#shared/errors/pool-error.ts';

/** Where the operator API of a running coordinator is, and what opens it. */
const accessSchema = z.strictObject({ url: z.string(), credential: z.string() });
export type OperatorAccess = z.infer<typeof accessSchema>;

const pathOf = (dataDir: string) => join(dataDir, 'operator.json');

/** Readable by the owner of the data folder alone; what an earlier start left is replaced in one step. */
export async function writeAccess(dataDir: string, access: OperatorAccess): Promise<void> {
  const path = pathOf(dataDir);
  const draft = `${path}.new`;
  try {
    await rm(draft, { force: true });
    await writeFile(draft, `${JSON.stringify(access)}\n`, { flag: 'wx', mode: 0o600 });
    await chmod(draft, 0o600);
    await rename(draft, path);
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    throw new PoolError('STORE_IO', `${path} cannot be written: ${code}`, {}, { cause });
  }
}

/** Undefined where no coordinator runs on this folder, or none that left its address. */
export async function readAccess(dataDir: string): Promise<OperatorAccess | undefined> {
  try {
    return accessSchema.parse(JSON.parse(await readFile(pathOf(dataDir), 'utf8')));
  } catch {
    return undefined;
  }
}

export async function removeAccess(dataDir: string): Promise<void> {
  await rm(pathOf(dataDir), { force: true });
}
