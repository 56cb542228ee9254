import { readFile, stat } from 'node:fs/promises';
import type { Proof } from '#shared/api/proof-schemas.ts';
import { parseProof } from '#shared/block/verify-proof.ts';
import { must, PoolError } from '#shared/errors/pool-error.ts';

/** Twice the largest body: more is no proof. */
const MAX_FILE_BYTES = 160 * 1024 * 1024;

/** Reads a file that somebody sent. OPTION where it cannot be read, PROOF where it is none. */
export async function readProofFile(path: string): Promise<Proof> {
  try {
    const { size } = await stat(path);
    must(size <= MAX_FILE_BYTES, 'PROOF', `${path}: expected a proof, got a file of ${size} bytes`);
    return parseProof(await readFile(path, 'utf8'));
  } catch (error) {
    if (error instanceof PoolError) throw error;
    const { code } = error as NodeJS.ErrnoException;
    throw new PoolError('OPTION', `${path} cannot be read: ${code}`, {}, { cause: error });
  }
}
