import type { Chain } from '#coordinator/chain/chain.ts';
import type { Salts } from '#coordinator/chain/salts.ts';
import type { StoredVerdict, SubmissionRecord } from '#coordinator/store/submissions.ts';
import { bodyHash, encodeBody, type ParameterBody, type Seal } from '#shared/block/body.ts';
import { encodeHeader, HEADER_VERSION } from '#shared/block/header.ts';
import { type JournalHead, type Move, rewardsHash } from '#shared/block/journal.ts';
import type { ChainPosition } from '#shared/block/verify-block.ts';
import type { WorkPlaces } from '#shared/block/work-log.ts';
import { equalBytes } from '#shared/crypto/bytes.ts';
import { must } from '#shared/errors/pool-error.ts';
import { modelRoot, type TensorRef } from '#shared/weights/model-root.ts';

export interface TemplateInputs {
  readonly chain: Chain;
  readonly salts: Salts;
  readonly record: SubmissionRecord;
  readonly journal: JournalHead;
  readonly work: WorkPlaces;
  /** What the commit will append, fixed before a nonce is sought. */
  readonly rewards: readonly Move[];
}

/** The bodies of a submission's blocks, one per tensor that still differs from the head. PROTOCOL §6. */
export function bodiesOf(
  inputs: TemplateInputs,
): { body: Uint8Array; tensor: SubmissionRecord['tensors'][number] }[] {
  const { chain, record } = inputs;
  const tensors = new Map<string, TensorRef>(chain.sealed.tensors);
  const changed = record.tensors.filter(
    (t) => !equalBytes(t.payloadHash, (tensors.get(t.name) as TensorRef).payloadHash),
  );
  return changed.map((tensor, part) => {
    tensors.set(tensor.name, tensor);
    const root = modelRoot(tensors.values());
    const parts = changed.length;
    const { name, dtype, shape } = tensor;
    const body: ParameterBody = { v: 1, submission: record.id, part, parts, name, dtype, shape, root };
    const sealed = part === parts - 1 ? { ...body, seal: sealOf(inputs, parts) } : body;
    return { body: encodeBody(sealed), tensor };
  });
}

function sealOf({ chain, salts, record, journal, work, rewards }: TemplateInputs, parts: number): Seal {
  const verdict = record.verdict as StoredVerdict;
  must(
    equalBytes(verdict.head, chain.sealed.position.hash),
    'STATE',
    'the submission was judged on another head',
  );
  return {
    base: chain.sealed.root,
    salt: verdict.salt,
    next_salt_hash: salts.hashFor(chain.sealed.position.index + parts),
    certificate: { head: verdict.head, windows: verdict.windows, attestations: verdict.attestations },
    journal: { seq: journal.seq, head: journal.head, root: journal.root },
    work,
    rewards: rewardsHash(chain.networkId, rewards),
  };
}

/** The header of the next block with nonce 0. */
export function headerOf(
  chain: Chain,
  previous: ChainPosition,
  part: {
    body: Uint8Array;
    record: SubmissionRecord;
    tensor: SubmissionRecord['tensors'][number];
    nowMs: number;
    bits: number;
  },
): Uint8Array {
  return encodeHeader({
    version: HEADER_VERSION,
    index: previous.index + 1,
    // A clock that was set back must not stop the chain.
    timestampMs: Math.max(part.nowMs, previous.timestampMs),
    prevHash: previous.hash,
    chainId: 'B',
    pointsTo: chain.meta.hash,
    payloadHash: part.tensor.payloadHash,
    payloadBytes: part.tensor.bytes,
    minerPub: part.record.miner,
    payloadSig: part.tensor.signature,
    bodyHash: bodyHash(part.body),
    bits: part.bits,
    nonce: 0n,
  });
}
