import type { SubmissionRecord } from '#coordinator/store/submissions.ts';
import type { SubmissionView } from '#shared/api/schemas.ts';
import { toHex } from '#shared/crypto/bytes.ts';
import { addressOf } from '#shared/crypto/keys.ts';

const NANO = 1e6;

/** A submission as the API shows it. */
export function submissionView(
  record: SubmissionRecord,
  progress?: { done: number; total: number },
): SubmissionView {
  const { verdict, error } = record;
  return {
    id: toHex(record.id),
    state: record.state,
    miner: addressOf(record.miner),
    base: toHex(record.base),
    tensors: record.tensors.map((t) => t.name),
    bytes: record.tensors.reduce((sum, t) => sum + t.bytes, 0),
    received_at: record.history[0]?.at ?? 0,
    updated_at: record.history.at(-1)?.at ?? 0,
    history: record.history.map(({ state, at }) => ({ state, at })),
    ...(progress && record.state === 'evaluating' ? { progress } : {}),
    ...(verdict
      ? {
          verdict: {
            passed: verdict.passed,
            windows: verdict.windows.length,
            loss_before_nats: verdict.meanBaseMicroNats / NANO,
            loss_after_nats: verdict.meanCandidateMicroNats / NANO,
            gain_nats: verdict.meanGainMicroNats / NANO,
            margin_nats: verdict.marginMicroNats / NANO,
            tokens: verdict.tokens,
            evaluation_ms: verdict.evaluationMs,
          },
        }
      : {}),
    ...(record.blocks ? { blocks: record.blocks } : {}),
    ...(record.reward === undefined ? {} : { reward: record.reward }),
    ...(error ? { error: error as NonNullable<SubmissionView['error']> } : {}),
  };
}
