import { Gauge, type Registry } from 'prom-client';
import { type AttendingWorker, createAttendanceMetrics } from '#coordinator/metrics/attendance-metrics.ts';
import { createEpochMetrics, type HeldOutStanding } from '#coordinator/metrics/epoch-metrics.ts';
import { isFinal, SUBMISSION_STATES, type SubmissionState } from '#shared/lifecycle.ts';
import { ROLES, type Role } from '#shared/protocol/worker.ts';

/** A scrape never waits longer than this for Redis; past it Redis counts as down. */
const QUEUE_DEADLINE_MS = 700;

export interface QueueCounts {
  readonly queue: string;
  readonly waiting: number;
  readonly active: number;
  readonly delayed: number;
  readonly failed: number;
  /** Age of the job that has waited longest, or null when none waits. */
  readonly oldestAgeMs: number | null;
}

export interface ConnectedWorker {
  readonly name: string;
  readonly roles: readonly Role[];
  readonly hashesPerSecond: number;
  readonly tokensPerSecond: number;
}

/** What the gauges read when they are scraped. All but `queues` answer from memory. */
export interface MetricSources {
  chainHeights(): { readonly A: number; readonly B: number };
  /** Timestamp of the newest sealed B block, Unix milliseconds. */
  headTimestampMs(): number;
  /** Mean loss of the head over the whole public validation set; null until measured. */
  validationLossNats(): number | null;
  /** Submissions in each state that is not final; absent states count as none. */
  submissionsInProgress(): Partial<Readonly<Record<SubmissionState, number>>>;
  workers(): readonly ConnectedWorker[];
  /** Single workers that are here, or missed. */
  attendance(): readonly AttendingWorker[];
  heldOut(): HeldOutStanding | null;
  ledger(): { readonly mintedUnits: bigint; readonly balanced: boolean };
  /** Rejects, or stays silent, when Redis is down: that is how `aiblock_redis_up` is measured. */
  queues(): Promise<readonly QueueCounts[]>;
}

type Gauges = ReturnType<typeof declare>;

/** Declares all gauges; what it returns reads every source and sets them. */
export function createGauges(
  registry: Registry,
  { version }: { readonly version: string },
): (sources: MetricSources) => Promise<void> {
  const gauges = declare(registry);
  const setAttendance = createAttendanceMetrics(registry);
  const setHeldOut = createEpochMetrics(registry);
  gauges.buildInfo.set({ version }, 1);
  return async (sources) => {
    await refresh(gauges, sources);
    setAttendance(sources.attendance());
    setHeldOut(sources.heldOut());
  };
}

function declare(registry: Registry) {
  const gauge = <L extends string>(name: string, help: string, labelNames: readonly L[] = []) =>
    new Gauge<L>({ name: `aiblock_${name}`, help, labelNames, registers: [registry] });
  return {
    buildInfo: gauge('build_info', 'Always 1; the label carries the version', ['version']),
    chainHeight: gauge('chain_height', 'Height of the newest block of a chain', ['chain']),
    headTimestamp: gauge('head_timestamp_seconds', 'Unix time of the newest sealed block'),
    loss: gauge(
      'validation_loss_nats',
      'Mean loss of the head over the public validation set, measured or estimated',
    ),
    inProgress: gauge('submissions_in_progress', 'Submissions now in a state that is not final', ['state']),
    queueJobs: gauge('queue_jobs', 'Jobs of a queue, by state', ['queue', 'state']),
    oldestJobAge: gauge('queue_oldest_job_age_seconds', 'Age of the job that has waited longest', ['queue']),
    redisUp: gauge('redis_up', '1 when Redis answered this scrape'),
    workersConnected: gauge('workers_connected', 'Attached workers that offer a role', ['role']),
    hashRate: gauge('worker_hashes_per_second', 'Hashes per second, as the worker reports', ['worker']),
    tokenRate: gauge('evaluation_tokens_per_second', 'Evaluated tokens per second, as the worker reports', [
      'worker',
    ]),
    mintedUnits: gauge('minted_units', 'Base units (1e-8 token) minted and not burned'),
    ledgerBalanced: gauge('ledger_balanced', '1 when all balances sum to minted minus burned'),
  };
}

/** Reads every source. After the one wait all is set without another, so no scrape sees half of it. */
async function refresh(gauges: Gauges, sources: MetricSources): Promise<void> {
  const queues = await withDeadline(sources.queues());
  setQueues(gauges, queues);
  setChains(gauges, sources);
  setWorkers(gauges, sources.workers());
  const { mintedUnits, balanced } = sources.ledger();
  gauges.mintedUnits.set(Number(mintedUnits));
  gauges.ledgerBalanced.set(balanced ? 1 : 0);
}

/** Without an answer the old counts are dropped: a frozen figure looks like a healthy one. */
function setQueues(gauges: Gauges, queues: readonly QueueCounts[] | null): void {
  gauges.redisUp.set(queues === null ? 0 : 1);
  gauges.queueJobs.reset();
  gauges.oldestJobAge.reset();
  for (const counts of queues ?? []) {
    const { queue } = counts;
    for (const state of ['waiting', 'active', 'delayed', 'failed'] as const)
      gauges.queueJobs.set({ queue, state }, counts[state]);
    gauges.oldestJobAge.set({ queue }, (counts.oldestAgeMs ?? 0) / 1000);
  }
}

function setChains(gauges: Gauges, sources: MetricSources): void {
  const { A, B } = sources.chainHeights();
  gauges.chainHeight.set({ chain: 'A' }, A);
  gauges.chainHeight.set({ chain: 'B' }, B);
  gauges.headTimestamp.set(sources.headTimestampMs() / 1000);
  const loss = sources.validationLossNats();
  if (loss === null) gauges.loss.remove();
  else gauges.loss.set(loss);
  const inProgress = sources.submissionsInProgress();
  for (const state of SUBMISSION_STATES)
    if (!isFinal(state)) gauges.inProgress.set({ state }, inProgress[state] ?? 0);
}

/** Workers of one name are added up; a role that nobody offers reads 0, so that an alert can see it. */
function setWorkers(gauges: Gauges, workers: readonly ConnectedWorker[]): void {
  for (const role of ROLES)
    gauges.workersConnected.set({ role }, workers.filter((worker) => worker.roles.includes(role)).length);
  gauges.hashRate.reset();
  gauges.tokenRate.reset();
  for (const { name, hashesPerSecond, tokensPerSecond } of workers) {
    gauges.hashRate.inc({ worker: name }, hashesPerSecond);
    gauges.tokenRate.inc({ worker: name }, tokensPerSecond);
  }
}

/** The answer, or null when it fails or does not come in time. */
async function withDeadline<T>(answer: Promise<T>): Promise<T | null> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<null>((resolve) => {
    timer = setTimeout(resolve, QUEUE_DEADLINE_MS, null);
  });
  try {
    return await Promise.race([answer, late]);
  } catch {
    return null;
  } finally {
    clearTimeout(timer);
  }
}
