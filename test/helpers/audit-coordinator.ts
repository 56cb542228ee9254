import assert from 'node:assert/strict';
import { auditPool, type PoolReport } from '#worker/audit/pool-audit.ts';
import { HttpSource } from '#worker/audit/source.ts';
import { ApiClient } from '#worker/client/api-client.ts';

/** Everything that `aiblock verify` checks but the losses, in this process; a finding fails the test. */
export async function auditCoordinator(url: string): Promise<PoolReport> {
  const { signal } = new AbortController();
  const report = await auditPool(
    { chain: 'both', payloads: true, losses: 0 },
    {
      source: new HttpSource(new ApiClient(url), signal),
      progress: { begin: () => {}, done: () => {}, end: () => {} } as never,
      signal,
      now: () => performance.now(),
      random: Math.random,
      evaluator: () => Promise.reject(new Error('no loss is asked for')),
    },
  );
  assert.equal(report.finding, undefined, JSON.stringify(report.finding));
  return report;
}
