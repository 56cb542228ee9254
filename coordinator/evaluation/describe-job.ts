import type { Chain } from '#coordinator/chain/chain.ts';
import type { Salts } from '#coordinator/chain/salts.ts';
import type { EvaluationJob } from '#coordinator/dispatch/job-queue.ts';
import type { LeaseTarget } from '#coordinator/evaluation/check-result.ts';
import type { SubmissionRecord, Submissions } from '#coordinator/store/submissions.ts';
import { decodeParameterBody } from '#shared/block/body.ts';
import { fromHex, toHex } from '#shared/crypto/bytes.ts';
import { windowsOf } from '#shared/pol/certificate.ts';
import { gateRule } from '#shared/pol/rule.ts';
import { modelRoot, type TensorRef } from '#shared/weights/model-root.ts';

export interface DescribedJob {
  /** Null where the head itself is measured. */
  readonly record: SubmissionRecord | null;
  readonly target: LeaseTarget;
  readonly changed: readonly TensorRef[];
}

export interface JobParts {
  readonly chain: Chain;
  readonly salts: Salts;
  readonly submissions: Submissions;
}

/** What a job is about on the head of this moment; null where it has become void. */
export async function describeJob(parts: JobParts, data: EvaluationJob): Promise<DescribedJob | null> {
  return data.kind === 'head' ? describeHead(parts.chain, data.id) : describeSubmission(parts, data.id);
}

async function describeHead(chain: Chain, root: string): Promise<DescribedJob | null> {
  const { sealed, meta } = chain;
  if (root !== toHex(sealed.root)) return null;
  const windows = Array.from({ length: meta.manifest.validation.windows }, (_, i) => i);
  const block = await chain.block('B', sealed.position.index);
  const submission = block ? decodeParameterBody(block.body).submission : new Uint8Array(32);
  const salt = new Uint8Array(32);
  const target = { ...baseOf(sealed), submission, candidateRoot: sealed.root, windows, salt };
  return { record: null, changed: [], target };
}

async function describeSubmission(
  { chain, submissions, salts }: JobParts,
  id: string,
): Promise<DescribedJob | null> {
  const record = await submissions.get(fromHex(id, 32));
  if (!record || (record.state !== 'queued' && record.state !== 'evaluating')) return null;
  const { sealed, meta, networkId } = chain;
  const salt = salts.reveal(sealed.position.index, sealed.saltHash);
  const tensors = new Map<string, TensorRef>(sealed.tensors);
  for (const tensor of record.tensors) tensors.set(tensor.name, tensor);
  const candidateRoot = modelRoot(tensors.values());
  const base = baseOf(sealed);
  const rule = gateRule(meta.manifest, base.height);
  const total = meta.manifest.validation.windows;
  const windows = windowsOf(networkId, { submission: record.id, head: base.head, salt }, { total, rule });
  const target = { ...base, submission: record.id, candidateRoot, windows, salt };
  return { record, changed: record.tensors, target };
}

const baseOf = ({ position, root }: Chain['sealed']) => ({
  head: position.hash,
  baseRoot: root,
  height: position.index,
});
