import { benchBackends } from '#test/bench/pol/backends.ts';
import { benchCost, benchStart } from '#test/bench/pol/cost.ts';
import { benchHeaders } from '#test/bench/pol/headers.ts';
import { benchMiners } from '#test/bench/pol/miners.ts';
import { benchUpload } from '#test/bench/pol/upload.ts';
import type { Choice, Report } from '#test/bench/report.ts';

const SECTIONS: Readonly<Record<string, (report: Report) => Promise<void>>> = {
  headers: benchHeaders,
  upload: benchUpload,
  backends: benchBackends,
  cost: benchCost,
  start: benchStart,
  miners: benchMiners,
};

/**
 * Proof-of-Learning: how soon a bad header is refused, the rate and memory of an upload of 1 GiB, how far the losses of
 * the backends lie apart, what judging costs a real pool and the one of `npm start` (9 minutes each), and two miners with
 * and without merging (6 minutes).
 */
export async function bench(report: Report, { only }: Choice): Promise<void> {
  const unknown = only.find((name) => !Object.hasOwn(SECTIONS, name));
  if (unknown !== undefined)
    throw new Error(`no section "${unknown}"; there is: ${Object.keys(SECTIONS).join(', ')}`);
  for (const [name, section] of Object.entries(SECTIONS))
    if (only.length === 0 || only.includes(name)) await section(report);
}
