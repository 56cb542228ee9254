import type { SubmissionRecord } from '#coordinator/store/submissions.ts';
import type { BlockView, SubmissionView } from '#shared/api/schemas.ts';
import { decodeMetaBody, decodeParameterBody } from '#shared/block/body.ts';
import type { Block } from '#shared/block/verify-block.ts';
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

/** A block with the header's fields by their names, bytes as hex. */
export function blockView({ header, hash, body }: Block): BlockView {
  const decoded = header.chainId === 'A' ? decodeMetaBody(body) : decodeParameterBody(body);
  return {
    version: header.version,
    index: header.index,
    timestamp: header.timestampMs / 1000,
    prev_hash: toHex(header.prevHash),
    chain_id: header.chainId,
    points_to: toHex(header.pointsTo),
    payload_hash: toHex(header.payloadHash),
    payload_size: header.payloadBytes,
    miner_pub: toHex(header.minerPub),
    payload_sig: toHex(header.payloadSig),
    nonce: header.nonce.toString(16).padStart(16, '0'),
    body_hash: toHex(header.bodyHash),
    bits: header.bits.toString(16).padStart(8, '0'),
    hash: toHex(hash),
    body: hexed(decoded),
    state: 'seal' in decoded || header.chainId === 'A' ? 'sealed' : 'part',
  };
}

/** Bytes become hex, BigInt decimal text, all the way down. */
function hexed(value: unknown): unknown {
  if (value instanceof Uint8Array) return toHex(value);
  if (typeof value === 'bigint') return value.toString();
  if (Array.isArray(value)) return value.map(hexed);
  if (typeof value === 'object' && value !== null)
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, hexed(item)]));
  return value;
}
