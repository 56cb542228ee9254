import { checkBackends } from '#worker/doctor/backends.ts';
import { checkEnrolment } from '#worker/doctor/enrolment.ts';
import type { Finding } from '#worker/doctor/finding.ts';
import { checkKey } from '#worker/doctor/key.ts';
import { checkDisk, checkGpu, checkMemory, checkNode } from '#worker/doctor/machine.ts';
import { checkPool } from '#worker/doctor/pool.ts';
import { checkRunning } from '#worker/doctor/running.ts';
import type { Log } from '#worker/log.ts';

export interface DoctorOptions {
  readonly coordinator: string;
  readonly dataDir: string;
  /** The enrolment token, where one is known. */
  readonly token: string | undefined;
  /** False leaves the backends out, which take the longest. */
  readonly backends: boolean;
}

export interface DoctorDependencies {
  readonly log: Log;
  readonly now: () => number;
  readonly signal: AbortSignal;
}

/** Everything a worker needs on this machine, one finding after another. Nothing is changed. */
export async function* examine(
  { coordinator, dataDir, token, backends }: DoctorOptions,
  { log, now, signal }: DoctorDependencies,
): AsyncGenerator<Finding> {
  yield checkNode();
  yield checkMemory();
  yield* await checkGpu();
  yield await checkDisk(dataDir);
  yield await checkKey(dataDir);
  const pool = await checkPool(coordinator, { now, signal });
  yield* pool;
  // Who does not answer cannot tell.
  if (pool[0]?.state !== 'fault') yield await checkEnrolment(coordinator, { dataDir, token, signal });
  yield await checkRunning(dataDir, now);
  if (backends) yield* await checkBackends(log, signal);
}
