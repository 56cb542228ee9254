import type { Chain } from '#coordinator/chain/chain.ts';
import type { WorkerSession } from '#coordinator/dispatch/worker-session.ts';
import type { StoredVerdict } from '#coordinator/store/submissions.ts';
import { fromHex } from '#shared/crypto/bytes.ts';
import { verifySignature } from '#shared/crypto/keys.ts';
import { must, PoolError } from '#shared/errors/pool-error.ts';
import { gate, isLoss } from '#shared/pol/gate.ts';
import { attestationDigest, type EvaluationTarget } from '#shared/protocol/attestation.ts';
import type { FromWorker } from '#shared/protocol/worker.ts';

export type EvaluatedMessage = Extract<FromWorker, { type: 'evaluated' }>;

/** What a lease is about, with what its certificate will need. */
export interface LeaseTarget extends EvaluationTarget {
  /** B height of the head. */
  readonly height: number;
  readonly salt: Uint8Array;
}

export type CheckedResult = { ok: true; verdict: StoredVerdict } | { ok: false; error: PoolError };

/**
 * A worker's message → a verdict. ATTESTATION where the message itself does not hold (the worker is at fault),
 * LOSS_NOT_FINITE where the candidate is.
 */
export function checkResult(
  chain: Chain,
  target: LeaseTarget,
  { message, worker }: { message: EvaluatedMessage; worker: WorkerSession },
): CheckedResult {
  try {
    return { ok: true, verdict: verdictOf(chain, target, { message, worker }) };
  } catch (error) {
    if (error instanceof PoolError) return { ok: false, error };
    throw error;
  }
}

function verdictOf(
  chain: Chain,
  target: LeaseTarget,
  { message, worker }: { message: EvaluatedMessage; worker: WorkerSession },
): StoredVerdict {
  const expected = target.windows.length;
  must(
    message.base.length === expected && message.candidate.length === expected,
    'ATTESTATION',
    `expected the losses of ${expected} windows, got ${message.base.length} and ${message.candidate.length}`,
  );
  must(message.base.every(isLoss), 'ATTESTATION', 'expected finite losses of the head');
  must(
    message.candidate.every((loss) => loss === null || isLoss(loss)),
    'ATTESTATION',
    'expected losses in whole micro-nats',
  );
  must(message.candidate.every(isLoss), 'LOSS_NOT_FINITE', 'the candidate has a loss that is not finite');
  const base = message.base as number[];
  const candidate = message.candidate as number[];
  const signature = fromHex(message.signature, 64);
  must(
    verifySignature(
      signature,
      attestationDigest(chain.networkId, target, { base, candidate }),
      worker.publicKey,
    ),
    'ATTESTATION',
    'the result is not signed by the worker',
  );
  const rule = chain.meta.manifest.gate;
  const verdict = gate(base, candidate, { deltaMicroNats: rule.delta_micro_nats, zMilli: rule.z_milli });
  return {
    head: target.head,
    salt: target.salt,
    windows: [...target.windows],
    attestations: [{ worker: worker.publicKey, backend: worker.hello.backend, base, candidate, signature }],
    passed: verdict.passed,
    meanBaseMicroNats: verdict.meanBaseMicroNats,
    meanCandidateMicroNats: verdict.meanCandidateMicroNats,
    meanGainMicroNats: verdict.meanGainMicroNats,
    marginMicroNats: verdict.marginMicroNats,
    tokens: message.tokens,
    evaluationMs: Math.round(message.ms),
  };
}
