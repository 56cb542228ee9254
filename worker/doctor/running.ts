import { type Finding, findings } from '#worker/doctor/finding.ts';
import { workerStatusSchema } from '#worker/status/status.ts';
import { readAddress, statusFile } from '#worker/status/status-file.ts';

const TIMEOUT_MS = 5_000;

/** The worker that runs on this data folder, where one does: what it says of itself. */
export async function checkRunning(dataDir: string, now: () => number): Promise<Finding> {
  const { fine, note, fault } = findings('worker');
  const url = await readAddress(statusFile(dataDir)).catch(() => undefined);
  if (url === undefined) return note('none runs on this data folder', 'start it with `aiblock worker`');
  try {
    const response = await fetch(new URL('/status', url), { signal: AbortSignal.timeout(TIMEOUT_MS) });
    const { name, connected, last_trouble: trouble } = workerStatusSchema.parse(await response.json());
    const ago = trouble ? Math.round((now() - trouble.at) / 1000) : 0;
    const told = trouble ? `; ${ago} s ago: ${trouble.message}` : '';
    if (connected) return fine(`${name} runs and is connected${told}`);
    return fault(
      `${name} runs and is not connected${told}`,
      'see the checks above, and the log of the worker',
    );
  } catch {
    return note(
      'the last one did not end in order: it was killed, or the machine went down',
      'start it again with `aiblock worker`',
    );
  }
}
