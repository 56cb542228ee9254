import { benchHeaders } from '#test/bench/pol/headers.ts';
import { benchUpload } from '#test/bench/pol/upload.ts';
import type { Report } from '#test/bench/report.ts';

/** Intake of submissions: the rate and memory of an upload of 1 GiB, and how soon a bad header is refused. */
export async function bench(report: Report): Promise<void> {
  await benchHeaders(report);
  await benchUpload(report);
}
