import type { Chain } from '#coordinator/chain/chain.ts';
import type { Ledger } from '#coordinator/ledger/ledger.ts';
import type { EntryProof, TensorProof } from '#shared/api/proof-schemas.ts';
import { decodeParameterBody, type Seal } from '#shared/block/body.ts';
import type { Block } from '#shared/block/verify-block.ts';
import { toHex } from '#shared/crypto/bytes.ts';
import { merkleSteps } from '#shared/crypto/merkle.ts';
import { must } from '#shared/errors/pool-error.ts';
import { sortByName, tensorLeaf } from '#shared/weights/model-root.ts';

/**
 * Proves a journal entry by the seal at B `height`, of the newest one unless given. NOT_FOUND where no such entry, no
 * such seal, or no seal behind the entry is there.
 */
export async function entryProof(
  { chain, ledger }: { readonly chain: Chain; readonly ledger: Ledger },
  seq: number,
  height: number = chain.sealed.position.index,
): Promise<EntryProof> {
  const { block, seal } = await sealAt(chain, height);
  const [entry] = await ledger.entries(seq, 1);
  must(seq < ledger.journal.seq && entry, 'NOT_FOUND', `the journal has no entry ${seq}`);
  const size = seal.journal.seq;
  must(
    seq < size,
    'NOT_FOUND',
    `B${height} seals the first ${size} journal entries: entry ${seq} is sealed by a later submission`,
  );
  const path = await ledger.path(seq, size);
  return { v: 1, proof: 'entry', entry: toHex(entry), path: path.map(toHex), ...hexOf(block) };
}

/** Proves a tensor of the model by the newest seal. NOT_FOUND where the model has none of this name. */
export async function tensorProof(chain: Chain, name: string): Promise<TensorProof> {
  const { position, tensors } = chain.sealed;
  const ordered = sortByName([...tensors.values()]);
  const index = ordered.findIndex((tensor) => tensor.name === name);
  const tensor = ordered[index];
  must(tensor, 'NOT_FOUND', () => `the model has no tensor ${JSON.stringify(name.slice(0, 100))}`);
  const { block } = await sealAt(chain, position.index);
  const { dtype, shape, payloadHash } = tensor;
  return {
    v: 1,
    proof: 'tensor',
    tensor: { name, dtype, shape: [...shape], hash: toHex(payloadHash) },
    path: merkleSteps(ordered.map(tensorLeaf), index).map(({ side, hash }) => ({ side, hash: toHex(hash) })),
    ...hexOf(block),
  };
}

async function sealAt(chain: Chain, height: number): Promise<{ block: Block; seal: Seal }> {
  const block = height <= chain.height('B') ? await chain.block('B', height) : undefined;
  must(block, 'NOT_FOUND', `chain B has no block ${height}`);
  const { seal, part, parts } = decodeParameterBody(block.body);
  must(
    seal,
    'NOT_FOUND',
    `B${height} does not seal its submission: B${height + parts - 1 - part}, its last part, does`,
  );
  return { block, seal };
}

const hexOf = ({ headerBytes, body }: Block) => ({ header: toHex(headerBytes), body: toHex(body) });
