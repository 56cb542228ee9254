import { createLog, type Log } from '#worker/log.ts';

/** A log that keeps its lines. */
export function keptLog(): { log: Log; lines: string[] } {
  const lines: string[] = [];
  return { lines, log: createLog({ level: 'trace', json: false, now: () => 0 }, (line) => lines.push(line)) };
}
