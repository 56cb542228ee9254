import type { MetricSources } from '#coordinator/metrics/gauges.ts';

/** Sources of a small healthy pool; single ones are replaced by what a test is about. */
export function metricSources(replaced: Partial<MetricSources> = {}): MetricSources {
  return {
    chainHeights: () => ({ A: 0, B: 12 }),
    headTimestampMs: () => 1_700_000_000_500,
    validationLossNats: () => 3.25,
    submissionsInProgress: () => ({ queued: 2, evaluating: 1 }),
    workers: () => [
      { name: 'anna', roles: ['evaluate', 'mine', 'chat'], hashesPerSecond: 1000, tokensPerSecond: 50 },
      { name: 'ben', roles: ['mine'], hashesPerSecond: 500, tokensPerSecond: 0 },
    ],
    attendance: () => [
      { name: 'anna', address: '0x01', connected: true, lastSeenMs: 1_700_000_000_000 },
      { name: 'carl', address: '0x03', connected: false, lastSeenMs: 1_699_999_000_000 },
    ],
    heldOut: () => ({ shardsLeft: 5, checksDue: 2 }),
    ledger: () => ({ mintedUnits: 123_456_789n, balanced: true }),
    queues: async () => [
      { queue: 'evaluation', waiting: 2, active: 1, delayed: 0, failed: 3, oldestAgeMs: 1500 },
    ],
    ...replaced,
  };
}
