import { Counter, Histogram, type Registry } from 'prom-client';
import type { ErrorCode } from '#shared/errors/catalogue.ts';

/** What can become of a share, besides a refusal for a fault of ours. */
const OUTCOMES = [
  'accepted',
  'measured',
  'LEASE_UNKNOWN',
  'SHARE_DUPLICATE',
  'WORK_LOW',
  'WORK_RANGE',
  'WORK_STALE',
] as const;

export interface ShareMetrics {
  /** Credited, `ms` after its message. */
  shareAccepted(share: { readonly credit: bigint; readonly ms: number }): void;
  /** Of an idle pool's probe: right, and paid to nobody. */
  shareMeasured(): void;
  shareRefused(code: ErrorCode): void;
}

export function createShareMetrics(registry: Registry): ShareMetrics {
  const registers = [registry];
  const shares = new Counter({
    name: 'aiblock_shares_total',
    help: 'Shares of workers: accepted, only measured, or refused by a code',
    labelNames: ['outcome'],
    registers,
  });
  const hashes = new Counter({
    name: 'aiblock_share_hashes_total',
    help: 'Hashes that the accepted shares took on average: their credit',
    registers,
  });
  const acknowledged = new Histogram({
    name: 'aiblock_share_seconds',
    help: 'From the message of a share to its acknowledgement after the durable write',
    buckets: [0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1],
    registers,
  });
  for (const outcome of OUTCOMES) shares.inc({ outcome }, 0);
  return {
    shareAccepted({ credit, ms }) {
      shares.inc({ outcome: 'accepted' });
      hashes.inc(Number(credit));
      acknowledged.observe(ms / 1000);
    },
    shareMeasured: () => shares.inc({ outcome: 'measured' }),
    shareRefused: (code) => shares.inc({ outcome: code }),
  };
}
