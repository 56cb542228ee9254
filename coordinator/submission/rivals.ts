import type { SubmissionRecord } from '#coordinator/store/submissions.ts';
import type { UploadContent } from '#coordinator/submission/upload-session.ts';
import { compareBytes, equalBytes, toHex } from '#shared/crypto/bytes.ts';
import { must } from '#shared/errors/pool-error.ts';

/** Whoever has payloads that wait for their verdict, or are on their way in. */
export interface Claimant {
  readonly id: Uint8Array;
  readonly miner: Uint8Array;
  /** From when on its bytes count as its own: the claim's time, else that of the header. Unix milliseconds. */
  readonly claimedAt: number;
  readonly payloads: readonly Uint8Array[];
  /** Once all bytes are there. */
  readonly record?: SubmissionRecord;
}

export function claimantOf({ id, miner, claimedAt, tensors }: UploadContent): Claimant {
  const payloads = tensors.filter(({ use }) => use !== 'skip').map(({ tensor }) => tensor.payloadHash);
  return { id, miner, claimedAt, payloads };
}

export function claimantOfRecord(record: SubmissionRecord): Claimant {
  const { id, miner, tensors, history, claimedAt = history[0]?.at ?? 0 } = record;
  return { id, miner, claimedAt, payloads: tensors.map((t) => t.payloadHash), record };
}

/**
 * PROTOCOL §9: of two keys with the same payload the one that claimed it first has it. PAYLOAD_KNOWN where another was
 * before `one`, or has it in a block that is being mined; else the records that have to give way.
 */
export function outclaimed(one: Claimant, others: readonly Claimant[]): SubmissionRecord[] {
  const own = new Set(one.payloads.map(toHex));
  const rivals = others.filter(
    ({ miner, payloads }) => !equalBytes(miner, one.miner) && payloads.some((hash) => own.has(toHex(hash))),
  );
  for (const rival of rivals)
    must(
      isBefore(one, rival) && !isMined(rival.record),
      'PAYLOAD_KNOWN',
      'another key had these bytes before, and they wait for their verdict',
    );
  return rivals.flatMap(({ record }) => record ?? []);
}

/** Where both came in the same millisecond, any order will do that both sides agree on. */
function isBefore(one: Claimant, other: Claimant): boolean {
  if (one.claimedAt !== other.claimedAt) return one.claimedAt < other.claimedAt;
  return compareBytes(one.id, other.id) < 0;
}

const isMined = (record: SubmissionRecord | undefined): boolean =>
  record !== undefined && ['mining', 'mined', 'committed', 'paid'].includes(record.state);
