import type { Chain } from '#coordinator/chain/chain.ts';
import type { Epochs } from '#coordinator/chain/epochs.ts';
import type { Attendance } from '#coordinator/dispatch/attendance.ts';
import type { Workers } from '#coordinator/dispatch/workers.ts';
import type { Ledger } from '#coordinator/ledger/ledger.ts';
import type { MetricSources } from '#coordinator/metrics/gauges.ts';
import type { EvaluationQueue } from '#coordinator/queue/evaluation-queue.ts';
import type { Submissions } from '#coordinator/store/submissions.ts';
import type { VestingStage } from '#coordinator/vesting/vesting.ts';

interface SourceParts {
  readonly chain: Chain;
  readonly epochs: Epochs;
  readonly ledger: Ledger;
  readonly submissions: Submissions;
}

/** Where the gauges read their values on each scrape; a coordinator that only reads has neither workers nor queue. */
export function metricSources(
  { chain, epochs, ledger, submissions }: SourceParts,
  live?: {
    readonly workers: Workers;
    readonly attendance: Attendance;
    readonly queue: EvaluationQueue;
    readonly vesting: Pick<VestingStage, 'waiting'>;
  },
): MetricSources {
  return {
    chainHeights: () => ({ A: chain.height('A'), B: chain.height('B') }),
    headTimestampMs: () => chain.sealed.position.timestampMs,
    validationLossNats: () => (chain.newestLoss === null ? null : chain.newestLoss.microNats / 1e6),
    submissionsInProgress: () => submissions.counts(),
    workers: () =>
      (live?.workers.sessions() ?? []).map((session) => ({
        name: session.hello.name,
        roles: session.hello.roles,
        hashesPerSecond: session.hashesPerSecond,
        tokensPerSecond: session.tokensPerSecond,
      })),
    attendance: () => live?.attendance.list() ?? [],
    heldOut: () =>
      chain.meta.manifest.validation.held_out.epoch
        ? { shardsLeft: epochs.shardsLeft, checksDue: live?.vesting.waiting ?? 0 }
        : null,
    ledger: () => ({ mintedUnits: ledger.totals.minted, balanced: ledger.sums }),
    queues: async () => (live ? [{ queue: 'evaluation', ...(await live.queue.counts()) }] : []),
  };
}
