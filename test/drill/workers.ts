import type { Choice, Report } from '#test/bench/report.ts';
import { drillLeases } from '#test/drill/workers/leases.ts';
import { drillRedis } from '#test/drill/workers/redis.ts';
import { drillRestart } from '#test/drill/workers/restart.ts';
import { showTo } from '#test/drill/workers/show.ts';

const SECTIONS = { leases: drillLeases, restart: drillRestart, redis: drillRedis };

/** Workers that are killed or frozen, a coordinator killed under a thousand of them, a Redis killed, emptied, slow, full. */
export async function drill(report: Report, { only }: Choice): Promise<void> {
  for (const [name, section] of Object.entries(SECTIONS))
    if (only.length === 0 || only.includes(name)) await section(showTo(report));
}
