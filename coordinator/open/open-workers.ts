import { Attendance } from '#coordinator/dispatch/attendance.ts';
import { EnrolledWorkers } from '#coordinator/dispatch/enrolled-workers.ts';
import { Enrolment } from '#coordinator/dispatch/enrolment.ts';
import { Reputations } from '#coordinator/dispatch/reputations.ts';
import { WorkerTokens } from '#coordinator/dispatch/worker-tokens.ts';
import { Workers } from '#coordinator/dispatch/workers.ts';
import type { KV } from '#coordinator/store/kv.ts';

export interface WorkerParts {
  readonly reputations: Reputations;
  readonly tokens: WorkerTokens;
  readonly enrolment: Enrolment;
  readonly workers: Workers;
  readonly attendance: Attendance;
}

/** Opens what is known of workers, and who may attach. */
export async function openWorkers(
  kv: KV,
  options: {
    readonly networkId: Uint8Array;
    readonly poolToken: string;
    readonly now: () => number;
    readonly onFault: (message: string, error: unknown) => void;
  },
): Promise<WorkerParts> {
  const { networkId, poolToken, now, onFault } = options;
  const reputations = await Reputations.open(kv, now);
  const tokens = await WorkerTokens.open(kv, now);
  const known = await EnrolledWorkers.open(kv);
  const enrolment = new Enrolment({ networkId, workers: known, tokens, poolToken, now });
  const workers = new Workers({ enrolment, reputations, onFault });
  reputations.onOut((publicKey) => workers.putOut(publicKey));
  const attendance = new Attendance({ enrolment, workers }, now);
  return { reputations, tokens, enrolment, workers, attendance };
}
