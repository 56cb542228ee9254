import type { SealedSubmission } from '#shared/block/audit-chains.ts';
import type { Attestation } from '#shared/block/body.ts';
import type { SealedModel } from '#shared/block/parameter-chain.ts';
import { toHex } from '#shared/crypto/bytes.ts';
import { must } from '#shared/errors/pool-error.ts';
import type { ModelRef, TensorRefMessage } from '#shared/protocol/worker.ts';
import type { TensorRef } from '#shared/weights/model-root.ts';
import { onBlock } from '#worker/audit/finding.ts';
import type { EvaluationJob, EvaluationOutcome } from '#worker/evaluate/evaluator.ts';
import type { WindowLoss } from '#worker/evaluate/loss-cache.ts';

/** Computes losses on this machine. */
export interface LossEvaluator {
  evaluate(
    job: EvaluationJob,
    signal: AbortSignal,
    progress: (done: number, total: number) => void,
  ): Promise<EvaluationOutcome>;
}

/** What was attested and what this machine finds, on the same windows. */
export interface LossComparison {
  /** B height of the seal. */
  readonly height: number;
  readonly submission: string;
  /** Whose held-out windows they are; the public ones of the certificate where it is left out. */
  readonly epoch?: number;
  readonly windows: number;
  readonly attestedMicroNats: { readonly before: number; readonly after: number };
  readonly foundMicroNats: { readonly before: number; readonly after: number };
  /** Largest difference in one window, over all attestations and both models. */
  readonly largestMicroNats: number;
  readonly toleranceMicroNats: number;
}

export interface LossRun {
  readonly evaluator: LossEvaluator;
  readonly signal: AbortSignal;
  progress(done: number, total: number): void;
}

/**
 * Computes a submission's losses anew and holds every attestation of its certificate against them, window by
 * window. BLOCK_CERTIFICATE where one is off by more than the Meta block's tolerance.
 */
export async function recheckLosses(sealed: SealedSubmission, run: LossRun): Promise<LossComparison> {
  const { certificate } = sealed.seal;
  const height = sealed.after.position.index;
  must(certificate, 'BAD_REQUEST', `B${height}: genesis was not judged`);
  const job = evaluationJob(sealed, certificate.windows);
  const outcome = await run.evaluator.evaluate(job, run.signal, run.progress);
  const toleranceMicroNats = sealed.meta.manifest.quorum.tolerance_micro_nats;
  return onBlock('B', height, () => {
    const found = {
      base: finite(outcome.base, 'the model before it'),
      candidate: finite(outcome.candidate, 'the candidate'),
    };
    const comparison = {
      height,
      submission: toHex(sealed.submission),
      windows: certificate.windows.length,
      ...compareLosses(certificate.attestations, found),
      toleranceMicroNats,
    };
    const { largestMicroNats, attestedMicroNats, foundMicroNats } = comparison;
    must(
      largestMicroNats <= toleranceMicroNats,
      'BLOCK_CERTIFICATE',
      () =>
        `a window's attested loss is ${largestMicroNats} micro-nats from the one found here, expected at most ${toleranceMicroNats}; ` +
        `means attested ${attestedMicroNats.before} → ${attestedMicroNats.after}, found ${foundMicroNats.before} → ${foundMicroNats.after}`,
    );
    return comparison;
  });
}

/**
 * Means of the first attestation and of what was found on its windows, and the largest difference of any
 * attestation. One that stopped at an earlier look than the longest has the first of the windows.
 */
export function compareLosses(
  attestations: readonly Pick<Attestation, 'base' | 'candidate'>[],
  found: { readonly base: readonly number[]; readonly candidate: readonly number[] },
): Pick<LossComparison, 'attestedMicroNats' | 'foundMicroNats' | 'largestMicroNats'> {
  const [first] = attestations;
  must(first, 'BLOCK_CERTIFICATE', 'the certificate holds no attestation');
  const differences = attestations.flatMap(({ base, candidate }) => [
    largestDifference(base, found.base),
    largestDifference(candidate, found.candidate),
  ]);
  return {
    attestedMicroNats: { before: mean(first.base), after: mean(first.candidate) },
    foundMicroNats: {
      before: mean(found.base.slice(0, first.base.length)),
      after: mean(found.candidate.slice(0, first.candidate.length)),
    },
    largestMicroNats: Math.max(...differences),
  };
}

export function evaluationJob(sealed: SealedSubmission, windows: readonly number[]): EvaluationJob {
  const { before, after } = sealed;
  return {
    model: modelRef(sealed, before),
    changed: [...after.tensors.values()].filter(({ height }) => height >= sealed.first).map(toMessage),
    candidateRoot: toHex(after.root),
    windows,
    // Everything on the chain is public.
    bearer: '',
  };
}

function modelRef({ meta }: SealedSubmission, model: SealedModel): ModelRef {
  return {
    meta: toHex(meta.hash),
    metaPayload: toHex(meta.payloadHash),
    root: toHex(model.root),
    tensors: [...model.tensors.values()].map(toMessage),
  };
}

function toMessage({ name, dtype, shape, payloadHash }: TensorRef): TensorRefMessage {
  return { name, dtype, shape: [...shape], hash: toHex(payloadHash) };
}

function finite(losses: readonly WindowLoss[], of: string): number[] {
  must(
    losses.every((loss) => loss !== null),
    'LOSS_NOT_FINITE',
    `the loss of ${of} is not finite on this machine`,
  );
  return losses as number[];
}

function largestDifference(attested: readonly number[], found: readonly number[]): number {
  must(
    attested.length > 0 && attested.length <= found.length,
    'BLOCK_CERTIFICATE',
    `expected 1 to ${found.length} attested losses, got ${attested.length}`,
  );
  return attested.reduce((most, loss, i) => Math.max(most, Math.abs(loss - (found[i] as number))), 0);
}

const mean = (losses: readonly number[]): number =>
  Math.round(losses.reduce((sum, loss) => sum + loss, 0) / Math.max(1, losses.length));
