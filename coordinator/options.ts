import { CHAT_DEFAULTS, type ChatOptions } from '#coordinator/chat/chat.ts';
import { EVALUATION_DEFAULTS, type EvaluationOptions } from '#coordinator/evaluation/evaluation.ts';
import { HTTP_DEFAULTS, type HttpOptions } from '#coordinator/http/app.ts';
import { MINING_DEFAULTS, type MiningOptions } from '#coordinator/mining/options.ts';
import { INTAKE_DEFAULTS, type IntakeOptions } from '#coordinator/submission/intake.ts';
import type { Environment } from '#shared/env.ts';

export interface CoordinatorOptions {
  readonly host: string;
  readonly port: number;
  readonly dataDir: string;
  readonly redisUrl: string | undefined;
  /** Enrolment token of workers; undefined: the one in the keys folder. */
  readonly workerToken: string | undefined;
  /** Serve the stored chain only: no Redis, no workers, no writes. */
  readonly readOnly: boolean;
  /** Make the development network where the folder holds no chain. */
  readonly initDev: boolean;
  readonly http: Omit<HttpOptions, 'page'>;
  readonly lockMs: number;
  readonly intake: IntakeOptions;
  readonly evaluation: EvaluationOptions;
  readonly mining: MiningOptions;
  readonly chat: ChatOptions;
}

/** After a coordinator's death its jobs are free again this much later. */
const DEFAULT_LOCK_MS = 10_000;

/** Assembles the options of every part from the environment; the defaults live with the parts. */
export function coordinatorOptions(
  environment: Environment,
  changes: Partial<CoordinatorOptions> = {},
): CoordinatorOptions {
  return {
    host: environment.host,
    port: environment.port,
    dataDir: environment.dataDir,
    redisUrl: environment.redisUrl,
    workerToken: environment.workerToken,
    readOnly: false,
    initDev: false,
    http: { ...HTTP_DEFAULTS, trustProxy: environment.trustProxy },
    lockMs: DEFAULT_LOCK_MS,
    intake: INTAKE_DEFAULTS,
    evaluation: EVALUATION_DEFAULTS,
    mining: MINING_DEFAULTS,
    chat: CHAT_DEFAULTS,
    ...changes,
  };
}
