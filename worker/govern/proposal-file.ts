import { randomUUID } from 'node:crypto';
import { open, readFile, rename, rm } from 'node:fs/promises';
import { decodeCbor, encodeCbor } from '#shared/block/cbor.ts';
import { decodeProposal, encodeProposal, type MetaProposal } from '#shared/block/meta-proposal.ts';
import { must, PoolError } from '#shared/errors/pool-error.ts';

/** Beside the proposal: governors who sign it need not know what is held out. */
const heldOutPath = (path: string) => `${path}.held-out`;

/** The proposal in a file. OPTION where it cannot be read, BLOCK_ENCODING where it is none. */
export async function readProposal(path: string): Promise<MetaProposal> {
  const bytes = await readFile(path).catch((cause: NodeJS.ErrnoException) => {
    throw new PoolError('OPTION', `${path} cannot be read (${cause.code})`, {}, { cause });
  });
  return decodeProposal(new Uint8Array(bytes));
}

/** Writes a new file, and its held-out shards to one beside it. OPTION where there is one. */
export async function writeProposal(path: string, proposal: MetaProposal): Promise<void> {
  const { held_out: heldOut, ...shown } = proposal;
  if (heldOut) await writeNew(heldOutPath(path), encodeCbor(heldOut));
  await writeNew(path, encodeProposal(shown));
}

/** Puts another one in its place, whole or not at all. */
export async function replaceProposal(path: string, proposal: MetaProposal): Promise<void> {
  const fresh = `${path}.${randomUUID()}`;
  try {
    await writeNew(fresh, encodeProposal(proposal));
    await rename(fresh, path);
  } finally {
    await rm(fresh, { force: true });
  }
}

/** The held-out shards that belong to a proposal, where there are some. BLOCK_ENCODING. */
export async function readHeldOut(path: string): Promise<Uint8Array[] | undefined> {
  const bytes = await readFile(heldOutPath(path)).catch((cause: NodeJS.ErrnoException) => {
    if (cause.code === 'ENOENT') return undefined;
    throw new PoolError('OPTION', `${heldOutPath(path)} cannot be read (${cause.code})`, {}, { cause });
  });
  if (bytes === undefined) return undefined;
  const shards = decodeCbor(new Uint8Array(bytes));
  must(
    Array.isArray(shards) && shards.every((shard) => shard instanceof Uint8Array),
    'BLOCK_ENCODING',
    `${heldOutPath(path)}: expected a list of shards`,
  );
  return shards;
}

async function writeNew(path: string, bytes: Uint8Array): Promise<void> {
  const file = await open(path, 'wx', 0o600).catch((cause: NodeJS.ErrnoException) => {
    const why = cause.code === 'EEXIST' ? 'exists already' : `cannot be written (${cause.code})`;
    throw new PoolError('OPTION', `${path} ${why}`, {}, { cause });
  });
  try {
    await file.writeFile(bytes);
    await file.sync();
  } finally {
    await file.close();
  }
}
