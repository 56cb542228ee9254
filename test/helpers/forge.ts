import {
  type Attestation,
  bodyHash,
  decodeParameterBody,
  encodeBody,
  type ParameterBody,
} from '#shared/block/body.ts';
import { type BlockHeader, blockHash, decodeHeader, encodeHeader, withNonce } from '#shared/block/header.ts';
import type { JournalHead } from '#shared/block/journal.ts';
import { MetaChain } from '#shared/block/meta-chain.ts';
import { ParameterChain } from '#shared/block/parameter-chain.ts';
import { type Block, blockFromBytes } from '#shared/block/verify-block.ts';
import type { WorkKind } from '#shared/block/work-log.ts';
import { type KeyPair, keyPair, sign } from '#shared/crypto/keys.ts';
import type { MerkleStep } from '#shared/crypto/merkle.ts';
import type { GateVerdict } from '#shared/pol/gate.ts';
import { meetsTarget, targetFromBits } from '#shared/pow/target.ts';
import { attestationDigest, type EvaluationTarget } from '#shared/protocol/attestation.ts';
import { readVectors } from '#test/helpers/vectors.ts';

export interface StoredBlock {
  readonly header: Uint8Array;
  readonly hash: Uint8Array;
  readonly body: Uint8Array;
  readonly payload: Uint8Array;
}

/** Both chains of test/vectors/chain.json: 16 blocks of genesis, a submission of three parts, one of a single part. */
export const CHAIN = readVectors<{
  secrets: { workers: Uint8Array[]; miner: Uint8Array; pool: Uint8Array; governors: Uint8Array[] };
  meta: StoredBlock;
  blocks: StoredBlock[];
  genesis: { root: Uint8Array; salt: Uint8Array };
  submissions: {
    submission: Uint8Array;
    root: Uint8Array;
    next_salt: Uint8Array;
    entries: Uint8Array[];
    verdict: GateVerdict;
  }[];
  journal: JournalHead;
  /** Encoded units of both logs. */
  work: Record<WorkKind, Uint8Array[]>;
  /** Block A1 on the last B head: other rules, work and governors. */
  change: StoredBlock;
  /** By the newest seal. */
  proofs: {
    entries: Uint8Array[][];
    tensors: Record<string, MerkleStep[]>;
  };
}>('chain');

export const [WORKER, SECOND_WORKER] = CHAIN.secrets.workers.map(keyPair) as [KeyPair, KeyPair];
export const MINER = keyPair(CHAIN.secrets.miner);
export const NETWORK = CHAIN.meta.hash;
export const META_BLOCK = toBlock(CHAIN.meta);
export const META = new MetaChain().apply(META_BLOCK, CHAIN.meta.payload);

export function toBlock({ header, body }: Pick<StoredBlock, 'header' | 'body'>): Block {
  return blockFromBytes(header, body);
}

/** The Parameter chain after its first `count` blocks. */
export function chainAfter(count: number): ParameterChain {
  const chain = new ParameterChain(NETWORK);
  for (const block of CHAIN.blocks.slice(0, count)) chain.apply(toBlock(block), META);
  return chain;
}

export const bodyAt = (index: number): ParameterBody => decodeParameterBody(CHAIN.blocks[index]!.body);
export const headerAt = (index: number): BlockHeader => decodeHeader(CHAIN.blocks[index]!.header);

/** A header with a body, ground to its own target. */
export function grind(header: BlockHeader, body: Uint8Array): Block {
  const template = encodeHeader(header);
  const target = targetFromBits(header.bits);
  for (let nonce = 0n; ; nonce++) {
    const bytes = withNonce(template, nonce);
    if (meetsTarget(blockHash(bytes), target)) return blockFromBytes(bytes, body);
  }
}

/** Block `index` of the vectors with changes, its body hash and work made to fit. */
export function forge(
  index: number,
  { header = {}, body = {} }: { header?: Partial<BlockHeader>; body?: object },
): Block {
  const encoded = encodeBody({ ...bodyAt(index), ...body });
  return grind({ ...headerAt(index), bodyHash: bodyHash(encoded), ...header }, encoded);
}

/** What `worker` would have signed about these losses. */
export function attest(
  worker: KeyPair,
  target: EvaluationTarget,
  { base, candidate }: { base: number[]; candidate: number[] },
): Attestation {
  const signed = attestationDigest(NETWORK, target, { base, candidate });
  return {
    worker: worker.publicKey,
    backend: 'wasm',
    base,
    candidate,
    signature: sign(signed, worker.secretKey),
  };
}

/** Changes one byte. */
export function changed(bytes: Uint8Array, at: number, by = 1): Uint8Array {
  const out = bytes.slice();
  out[at] = (out[at] as number) ^ by;
  return out;
}
