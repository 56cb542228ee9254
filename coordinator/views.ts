import type { TransferProof } from '#coordinator/ledger/transfers.ts';
import type { SubmissionRecord } from '#coordinator/store/submissions.ts';
import type { EntryView, SubmissionView, TransferProofView } from '#shared/api/schemas.ts';
import type { JournalEntry } from '#shared/block/journal.ts';
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

/** A journal entry as the API shows it. */
export function entryView({ seq, at, kind, ref, from, to, amount }: JournalEntry): EntryView {
  return { seq, at, kind, ref: toHex(ref), from, to, amount: amount.toString() };
}

/** A transfer with everything that was signed. */
export function proofView(
  digest: Uint8Array,
  { entry, nonce, expiry, signature }: TransferProof,
): TransferProofView {
  return {
    digest: toHex(digest),
    entry: entryView(entry),
    nonce: nonce.toString(),
    expiry: expiry.toString(),
    signature: `0x${toHex(signature)}`,
  };
}
