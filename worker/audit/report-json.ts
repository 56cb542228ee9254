import { headerView, plain } from '#shared/api/block-view.ts';
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
  const { header, body } = report.block;
  const { finding, sealed } = report;
  return {
    ok: finding === undefined,
    coordinator: report.coordinator,
    network: report.network,
    name: report.name,
    block: {
      ...headerView(report.block),
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
