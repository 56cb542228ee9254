import { benchPayloads } from '#test/bench/gateway/payloads.ts';
import { benchShares } from '#test/bench/gateway/shares.ts';
import type { Choice, Report } from '#test/bench/report.ts';

const SECTIONS = { shares: benchShares, payloads: benchPayloads };

/** What a thousand workers cost: shares acknowledged per second and how soon, what kills lose, bytes a new head takes. */
export async function bench(report: Report, { only }: Choice): Promise<void> {
  for (const [name, section] of Object.entries(SECTIONS))
    if (only.length === 0 || only.includes(name)) await section(report);
}
