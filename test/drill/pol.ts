import type { Report } from '#test/bench/report.ts';
import { candidatesDrill } from '#test/drill/pol/candidates.ts';
import { liarsDrill } from '#test/drill/pol/liars.ts';
import { powerDrill } from '#test/drill/pol/power.ts';
import { trainedDrill } from '#test/drill/pol/trained.ts';

/**
 * Proof-of-Learning among cheats: candidates of every kind before the gate, by the thousand, some of
 * them really trained, and workers that lie in every way before the quorum.
 */
export async function drill(report: Report): Promise<void> {
  candidatesDrill(report);
  await trainedDrill(report);
  powerDrill(report);
  await liarsDrill(report);
}
