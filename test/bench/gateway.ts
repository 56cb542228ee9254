import { benchShares } from '#test/bench/gateway/shares.ts';
import type { Choice, Report } from '#test/bench/report.ts';

/** What a thousand workers cost: shares acknowledged per second and how soon, what kills lose, bytes a new head takes. */
export async function bench(report: Report, { only }: Choice): Promise<void> {
  if (only.length === 0 || only.includes('shares')) await benchShares(report);
}
