import { decodeMetaBody, decodeParameterBody } from '#shared/block/body.ts';
import { toHex } from '#shared/crypto/bytes.ts';
import type { BlockReport } from '#worker/audit/block-audit.ts';
import type { PoolReport } from '#worker/audit/pool-audit.ts';

/** The report of a whole pool as one JSON object. */
export function poolReportJson({ finding, ...report }: PoolReport): Record<string, unknown> {
  return { ok: finding === undefined, ...report, finding: finding ?? null };
}

/** The report of one block as one JSON object: the header's fields as `GET /chain/:id/block/:index` names them. */
export function blockReportJson(report: BlockReport): Record<string, unknown> {
  const { header, hash, body } = report.block;
  const { finding, sealed } = report;
  return {
    ok: finding === undefined,
    coordinator: report.coordinator,
    network: report.network,
    name: report.name,
    block: {
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
      body: readable(() => (header.chainId === 'A' ? decodeMetaBody(body) : decodeParameterBody(body))),
    },
    submission: sealed
      ? { id: toHex(sealed.submission), first: sealed.first, last: sealed.after.position.index }
      : null,
    verdict: sealed?.verdict ?? null,
    checks: report.checks,
    losses: report.losses ?? null,
    finding: finding ?? null,
    ms: report.ms,
  };
}

function readable(decode: () => unknown): unknown {
  try {
    return plain(decode());
  } catch {
    return null; // the finding says why
  }
}

/** Bytes become hex and BigInt decimal text, all the way down. */
function plain(value: unknown): unknown {
  if (value instanceof Uint8Array) return toHex(value);
  if (typeof value === 'bigint') return value.toString();
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value === 'object' && value !== null)
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, plain(item)]));
  return value;
}
