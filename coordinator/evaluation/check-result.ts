import type { Seat } from '#coordinator/evaluation/committee.ts';
import type { DescribedJob } from '#coordinator/evaluation/describe-job.ts';
import { equalBytes, fromHex } from '#shared/crypto/bytes.ts';
import { verifySignature } from '#shared/crypto/keys.ts';
import { must } from '#shared/errors/pool-error.ts';
import { isLoss } from '#shared/pol/gate.ts';
import { type Loss, type SequentialVerdict, sequentialVerdict } from '#shared/pol/sequential.ts';
import { attestationDigest, commitmentDigest } from '#shared/protocol/attestation.ts';
import type { FromWorker } from '#shared/protocol/worker.ts';

export type EvaluatedMessage = Extract<FromWorker, { type: 'evaluated' }>;

/** A worker's result whose form, commitment and signature hold. Whether it is true, the others say. */
export interface Heard {
  readonly worker: Uint8Array;
  readonly owner: string;
  readonly backend: string;
  readonly windows: readonly number[];
  readonly base: readonly Loss[];
  readonly candidate: readonly Loss[];
  readonly signature: Uint8Array;
  /** What the gate says of it; null on held-out windows, which the gate does not look at. */
  readonly verdict: SequentialVerdict | null;
  /** Tokens through the model, as the worker says; never more than the windows have. */
  readonly tokens: number;
  readonly ms: number;
}

/** ATTESTATION where the message does not hold: the worker is at fault. */
export function checkResult(
  networkId: Uint8Array,
  job: DescribedJob,
  { message, seat }: { message: EvaluatedMessage; seat: Seat },
): Heard {
  const { target, context } = job;
  const { session, commitment, revealing } = seat;
  const { base, candidate } = message;
  must(commitment && revealing, 'ATTESTATION', 'the losses were not asked for yet');
  must(
    base.length === candidate.length && base.length <= target.windows.length,
    'ATTESTATION',
    `expected the losses of at most ${target.windows.length} windows, got ${base.length} and ${candidate.length}`,
  );
  must(
    [...base, ...candidate].every((loss) => loss === null || isLoss(loss)),
    'ATTESTATION',
    'expected losses in whole micro-nats',
  );
  const verdict = verdictOf(job, { base, candidate });
  const windows = target.windows.slice(0, base.length);
  const found = { windows, base, candidate };
  const nonce = fromHex(message.nonce, 32);
  must(
    equalBytes(commitment, commitmentDigest(networkId, { ...found, nonce }, session.publicKey)),
    'ATTESTATION',
    'the losses are not those that the worker committed to',
  );
  const signature = fromHex(message.signature, 64);
  must(
    verifySignature(
      signature,
      attestationDigest(networkId, { ...target, windows }, found),
      session.publicKey,
    ),
    'ATTESTATION',
    'the result is not signed by the worker',
  );
  return {
    worker: session.publicKey,
    owner: session.owner,
    backend: session.hello.backend,
    ...found,
    signature,
    verdict,
    tokens: Math.min(message.tokens, 2 * windows.length * context),
    ms: message.ms,
  };
}

/** The gate wants finite losses of the head, up to the look that decides. Held-out windows are wanted all. */
function verdictOf(
  { kind, target, rule }: DescribedJob,
  { base, candidate }: { base: readonly Loss[]; candidate: readonly Loss[] },
): SequentialVerdict | null {
  if (kind === 'held-out') {
    must(base.length === target.windows.length, 'ATTESTATION', 'expected the losses of all held-out windows');
    return null;
  }
  must(base.every(isLoss), 'ATTESTATION', 'expected finite losses of the head');
  return sequentialVerdict(base, candidate, rule);
}
