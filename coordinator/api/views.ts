import type { AdjustmentRecord } from '#coordinator/ledger/adjustment-records.ts';
import type { PaidChatRecord } from '#coordinator/ledger/chat-records.ts';
import type { TransferRecord } from '#coordinator/ledger/transfer-records.ts';
import type { StoredVerdict, SubmissionRecord } from '#coordinator/store/submissions.ts';
import type {
  AdjustmentView,
  EntryView,
  PaidChatView,
  TransferProofView,
} from '#shared/api/account-schemas.ts';
import type { SubmissionView } from '#shared/api/schemas.ts';
import type { JournalEntry } from '#shared/block/journal.ts';
import { toHex } from '#shared/crypto/bytes.ts';
import { addressOf } from '#shared/crypto/keys.ts';

const NANO = 1e6;

/** With the gain on every window: what a submission's own page shows. */
export function submissionDetail(...shown: Parameters<typeof submissionView>): SubmissionView {
  const [{ verdict }] = shown;
  const view = submissionView(...shown);
  if (!view.verdict || !verdict) return view;
  const { base = [], candidate = [] } = verdict.attestations[0] ?? {};
  const differences = base.map((loss, i): [number, number] => [
    verdict.windows[i] as number,
    loss - (candidate[i] as number),
  ]);
  return { ...view, verdict: { ...view.verdict, differences } };
}

function verdictView(verdict: StoredVerdict): NonNullable<SubmissionView['verdict']> {
  const gain = verdict.meanGainMicroNats / NANO;
  const margin = verdict.marginMicroNats / NANO;
  return {
    passed: verdict.passed,
    windows: verdict.windows.length,
    loss_before_nats: verdict.meanBaseMicroNats / NANO,
    loss_after_nats: verdict.meanCandidateMicroNats / NANO,
    gain_nats: gain,
    margin_nats: margin,
    tokens: verdict.tokens,
    evaluation_ms: verdict.evaluationMs,
    interval_nats: [gain - margin, gain + margin],
    stop: verdict.stop ?? null,
    attestations: verdict.attestations.map(({ worker, backend, base }) => ({
      worker: addressOf(worker),
      backend,
      windows: base.length,
    })),
    outvoted: (verdict.outvoted ?? []).map(addressOf),
    trusted: verdict.trusted ?? null,
  };
}

/** A submission as the API shows it. */
export function submissionView(
  record: SubmissionRecord,
  progress?: { done: number; total: number },
): SubmissionView {
  const { verdict, error, cost } = record;
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
    ...(verdict ? { verdict: verdictView(verdict) } : {}),
    ...(cost
      ? {
          cost: {
            evaluations: cost.evaluations,
            tokens: cost.tokens,
            saved_by_looks: cost.savedByLooks,
            saved_by_trust: cost.savedByTrust,
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

/** An adjustment with everything that was signed. */
export function adjustmentView({ entry, request }: AdjustmentRecord): AdjustmentView {
  const shown = { ...entryView(entry), reason: request.reason };
  return { digest: toHex(entry.ref), entry: shown, signed: request };
}

/** A chat that was paid for, with what its account signed. */
export function paidChatView({ chat, allowance }: PaidChatRecord): PaidChatView {
  return {
    ref: toHex(chat.ref),
    allowance: toHex(chat.allowance),
    number: chat.number,
    reserved: chat.reserved.toString(),
    token_units: chat.tokenUnits.toString(),
    signed: allowance.signed,
  };
}

/** A transfer with everything that was signed. */
export function transferProofView({ entry, nonce, expiry, signature }: TransferRecord): TransferProofView {
  return {
    digest: toHex(entry.ref),
    entry: entryView(entry),
    nonce: nonce.toString(),
    expiry: expiry.toString(),
    signature: `0x${toHex(signature)}`,
  };
}
