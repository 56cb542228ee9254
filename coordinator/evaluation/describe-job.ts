import type { Chain } from '#coordinator/chain/chain.ts';
import type { Salts } from '#coordinator/chain/salts.ts';
import type { HeldOutChecks } from '#coordinator/dispatch/held-out-checks.ts';
import type { EvaluationJob } from '#coordinator/dispatch/job-queue.ts';
import { modelMessage } from '#coordinator/dispatch/model-ref.ts';
import type { HeadLosses } from '#coordinator/evaluation/head-losses.ts';
import type { SubmissionRecord, Submissions } from '#coordinator/store/submissions.ts';
import { type Certificate, decodeParameterBody } from '#shared/block/body.ts';
import { equalBytes, fromHex, toHex } from '#shared/crypto/bytes.ts';
import { windowsOf } from '#shared/pol/certificate.ts';
import { gateRule } from '#shared/pol/rule.ts';
import type { SequentialRule } from '#shared/pol/sequential.ts';
import type { EvaluationTarget } from '#shared/protocol/attestation.ts';
import type { HeldOutRef, ModelRef } from '#shared/protocol/worker.ts';
import { modelRoot, type TensorRef } from '#shared/weights/model-root.ts';

/** What an evaluation is about, with what its certificate will need. */
export interface JobTarget extends EvaluationTarget {
  /** B height of the head. */
  readonly height: number;
  readonly salt: Uint8Array;
}

export interface DescribedJob {
  readonly kind: EvaluationJob['kind'];
  /** The submission that waits for its verdict; null where a head is measured, or a sealed one checked again. */
  readonly record: SubmissionRecord | null;
  /** Whose weights they are: the key that must not judge them. */
  readonly miner: Uint8Array | null;
  readonly target: JobTarget;
  readonly model: ModelRef;
  readonly changed: readonly TensorRef[];
  readonly rule: SequentialRule;
  readonly quorum: { readonly needed: number; readonly toleranceMicroNats: number };
  /** Tokens that are foretold per window. */
  readonly context: number;
  /** Of a head: losses that stand in its certificate, by window. */
  readonly certified: ReadonlyMap<number, number>;
  /** Revealed shards that the windows are of, instead of the public ones. */
  readonly shards?: HeldOutRef;
}

export interface JobParts {
  readonly chain: Chain;
  readonly heads: Pick<HeadLosses, 'due'>;
  readonly salts: Salts;
  readonly submissions: Submissions;
  readonly heldOut: HeldOutChecks;
}

/** What a job is about on the head of this moment; null where it has become void. */
export async function describeJob(parts: JobParts, data: EvaluationJob): Promise<DescribedJob | null> {
  if (data.kind === 'head') return describeHead(parts, data.id);
  return data.kind === 'held-out' ? describeHeldOut(parts, data.id) : describeSubmission(parts, data.id);
}

/** All windows of the shards that an epoch revealed, for a submission that was sealed in it. One look, no gate. */
async function describeHeldOut(
  { chain, heldOut }: JobParts,
  submission: string,
): Promise<DescribedJob | null> {
  const check = await heldOut.describe(submission);
  if (!check) return null;
  const { target, miner, model, changed, shards, meta } = check;
  const { quorum, validation } = meta.manifest;
  return {
    kind: 'held-out',
    record: null,
    miner,
    target: {
      ...{ ...target, head: chain.sealed.position.hash, heldOut: target.root },
      ...{ height: chain.sealed.position.index, salt: new Uint8Array(32) },
    },
    model,
    changed,
    rule: { deltaMicroNats: 0, zMilli: 0, looks: [target.windows.length], hopelessZMilli: 0 },
    quorum: { needed: quorum.attestations, toleranceMicroNats: quorum.tolerance_micro_nats },
    context: validation.context,
    certified: new Map(),
    shards,
  };
}

/** Without a gate: one look at the end of the windows. Its losses certify nothing, so one worker is enough. */
async function describeHead({ chain, heads }: JobParts, root: string): Promise<DescribedJob | null> {
  const { sealed, meta } = chain;
  const windows = heads.due();
  if (root !== toHex(sealed.root) || windows.length === 0) return null;
  const block = await chain.block('B', sealed.position.index);
  const body = block && decodeParameterBody(block.body);
  const submission = body?.submission ?? new Uint8Array(32);
  const salt = new Uint8Array(32);
  const target = { ...baseOf(sealed), submission, candidateRoot: sealed.root, windows, salt };
  const rule = { deltaMicroNats: 0, zMilli: 0, looks: [windows.length], hopelessZMilli: 0 };
  // Under another Meta block its windows may be of another text.
  const isOurs = block !== undefined && equalBytes(block.header.pointsTo, meta.hash);
  const certified = certifiedLosses(isOurs ? body?.seal?.certificate : null);
  const quorum = quorumOf(chain, 1);
  const about = { kind: 'head', record: null, miner: null } as const;
  return { ...common(chain), ...about, target, changed: [], rule, quorum, certified };
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
  const quorum = quorumOf(chain, meta.manifest.quorum.attestations);
  const about = { kind: 'submission', record, miner: record.miner } as const;
  return { ...common(chain), ...about, target, changed: record.tensors, rule, quorum, certified: new Map() };
}

function certifiedLosses(certificate: Certificate | null | undefined): Map<number, number> {
  const losses = certificate?.attestations[0]?.candidate ?? [];
  return new Map(losses.map((loss, i) => [certificate?.windows[i] as number, loss]));
}

const baseOf = ({ position, root }: Chain['sealed']) => ({
  head: position.hash,
  baseRoot: root,
  height: position.index,
});

const common = ({ meta, sealed }: Chain) => ({
  model: modelMessage(meta, sealed),
  context: meta.manifest.validation.context,
});

const quorumOf = ({ meta }: Chain, needed: number) => ({
  needed,
  toleranceMicroNats: meta.manifest.quorum.tolerance_micro_nats,
});
