import { hexToBytes } from '@noble/hashes/utils.js';
import { type EntryProof, type Proof, proofSchema, type TensorProof } from '#shared/api/proof-schemas.ts';
import { bodyHash, decodeParameterBody, type ParameterBody } from '#shared/block/body.ts';
import { decodeEntry, type JournalEntry, type JournalHead } from '#shared/block/journal.ts';
import { type Block, blockFromBytes } from '#shared/block/verify-block.ts';
import { equalBytes, toHex } from '#shared/crypto/bytes.ts';
import { rootAfterSteps, verifyMerklePath } from '#shared/crypto/merkle.ts';
import { must, PoolError } from '#shared/errors/pool-error.ts';
import { firstIssue } from '#shared/errors/schema-issue.ts';
import { type TensorRef, tensorLeaf } from '#shared/weights/model-root.ts';

/** What a proof shows, given that its block is the one that is trusted. */
export type Proven =
  | {
      readonly what: 'entry';
      readonly block: Block;
      readonly entry: JournalEntry;
      readonly journal: JournalHead;
    }
  | { readonly what: 'tensor'; readonly block: Block; readonly tensor: TensorRef; readonly root: Uint8Array };

/**
 * Checks a proof with nothing else than itself. It shows something of the pool only if the block's hash is one that
 * is trusted: `trusted`, or what the caller compares. BLOCK_HASH for another block, BLOCK_ENCODING, BLOCK_LINK and
 * BLOCK_BODY for one that is none of chain B or does not seal, PROOF where the path leads elsewhere. PROTOCOL §14.
 */
export function verifyProof(proof: Proof, trusted?: Uint8Array): Proven {
  const block = blockFromBytes(hexToBytes(proof.header), hexToBytes(proof.body));
  must(
    trusted === undefined || equalBytes(block.hash, trusted),
    'BLOCK_HASH',
    () => `expected a proof for block ${toHex(trusted as Uint8Array)}, got one for ${toHex(block.hash)}`,
  );
  const body = bodyOf(block);
  return proof.proof === 'entry' ? provenEntry(proof, block, body) : provenTensor(proof, block, body);
}

/** A proof as it stands in a file; PROOF where it has another form. */
export function parseProof(text: string): Proof {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new PoolError('PROOF', `expected a proof as JSON: ${(cause as Error).message}`, {}, { cause });
  }
  const parsed = proofSchema.safeParse(value);
  if (parsed.success) return parsed.data;
  throw new PoolError('PROOF', `expected a proof: ${firstIssue(parsed.error)}`);
}

function bodyOf(block: Block): ParameterBody {
  const at = `${block.header.chainId}${block.header.index}`;
  must(block.header.chainId === 'B', 'BLOCK_LINK', `${at}: expected a block of chain B`);
  must(
    equalBytes(bodyHash(block.body), block.header.bodyHash),
    'BLOCK_BODY',
    () => `${at}: the body has another hash than its header names`,
  );
  return decodeParameterBody(block.body);
}

function provenEntry(proof: EntryProof, block: Block, { seal }: ParameterBody): Proven {
  const at = `B${block.header.index}`;
  must(seal, 'BLOCK_BODY', `${at}: expected a block that seals a submission`);
  const bytes = hexToBytes(proof.entry);
  const entry = decodeEntry(bytes);
  const { journal } = seal;
  const { seq: size, root } = journal;
  must(
    entry.seq < size,
    'PROOF',
    `${at}: its journal has ${size} entries, this would be the one numbered ${entry.seq}`,
  );
  must(
    verifyMerklePath(root, { leaf: bytes, index: entry.seq, size, path: proof.path.map(hexToBytes) }),
    'PROOF',
    () => `${at}: the path of entry ${entry.seq} does not lead to its journal's root ${toHex(root)}`,
  );
  return { what: 'entry', block, entry, journal };
}

function provenTensor(proof: TensorProof, block: Block, { seal, root }: ParameterBody): Proven {
  const at = `B${block.header.index}`;
  must(seal, 'BLOCK_BODY', `${at}: expected a block that seals a submission`);
  const { name, dtype, shape, hash } = proof.tensor;
  const tensor: TensorRef = { name, dtype, shape, payloadHash: hexToBytes(hash) };
  const steps = proof.path.map((step) => ({ side: step.side, hash: hexToBytes(step.hash) }));
  must(
    equalBytes(rootAfterSteps(tensorLeaf(tensor), steps), root),
    'PROOF',
    () => `${at}: the path of ${JSON.stringify(name)} does not lead to its model root ${toHex(root)}`,
  );
  return { what: 'tensor', block, tensor, root };
}
