import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';
import { type AttendingWorker, createAttendanceMetrics } from '#coordinator/metrics/attendance-metrics.ts';
import { createEpochMetrics, type HeldOutStanding } from '#coordinator/metrics/epoch-metrics.ts';
import { createShareMetrics, type ShareMetrics } from '#coordinator/metrics/share-metrics.ts';
import { ENTRY_KINDS, type EntryKind } from '#shared/block/journal.ts';
import { ERRORS, type ErrorCode } from '#shared/errors/catalogue.ts';
import { isFinal, SUBMISSION_STATES, type SubmissionState } from '#shared/lifecycle.ts';
import { ROLES, type Role } from '#shared/protocol/worker.ts';

/** A scrape never waits longer than this for Redis; past it Redis counts as down. */
const QUEUE_DEADLINE_MS = 700;
const PREFIX = 'aiblock_';
const EVALUATION_OUTCOMES = ['agreed', 'outvoted', 'late', 'canary-right', 'canary-wrong'] as const;
export type EvaluationOutcome = (typeof EVALUATION_OUTCOMES)[number];
/** What workers put tokens through the model for: to judge a submission, to measure a head, to test a worker. */
const EVALUATION_PURPOSES = ['judge', 'head', 'canary', 'held-out'] as const;
export type EvaluationPurpose = (typeof EVALUATION_PURPOSES)[number];
const CHAT_OUTCOMES = ['stop', 'length', 'cancelled', 'error'] as const;

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

export interface CommitTimes {
  /** Tensor blocks of the submission. */
  readonly blocks: number;
  /** The commit stage: last checks, payload chunks and the durable batch. */
  readonly commitMs: number;
  /** From evaluated to committed without the search for nonces. */
  readonly overheadMs: number;
}

export interface EvaluationTokens {
  readonly tokens: number;
  readonly savedByLooks: number;
  readonly savedByTrust: number;
}

export interface ChatResult {
  readonly outcome: (typeof CHAT_OUTCOMES)[number];
  readonly tokens: number;
  /** Null when no token was delivered. */
  readonly firstTokenMs: number | null;
}

export interface HttpResult {
  /** The pattern of the route (`/submissions/:id`), never the raw path; `unmatched` where there is none. */
  readonly route: string;
  readonly status: number;
  readonly ms: number;
}

/** What the parts of the coordinator report. Every method only counts: it never throws nor waits. */
export interface Metrics extends ShareMetrics {
  /** A submission entered `state`; `code` says why, when the state is `rejected`. */
  submissionMoved(state: SubmissionState, code?: ErrorCode): void;
  /** One evaluation ended with losses. */
  evaluated(ms: number): void;
  /** What became of a worker's result. */
  evaluationResult(outcome: EvaluationOutcome): void;
  /** Tokens that a decision took, and those that it did not. */
  evaluationCost(cost: EvaluationTokens): void;
  /** Tokens through the model that judged no submission. */
  evaluationTokens(purpose: EvaluationPurpose, tokens: number): void;
  committed(times: CommitTimes): void;
  /** A journal entry of this kind moved `amount` base units. */
  paid(kind: EntryKind, amount: bigint): void;
  chatAnswered(result: ChatResult): void;
  httpServed(result: HttpResult): void;
  /** The body of `GET /metrics`, and its content type. */
  scrape(): Promise<{ readonly contentType: string; readonly body: string }>;
  /** Every family that exists, for the check against dashboards and alerts. */
  describe(): { readonly name: string; readonly help: string }[];
}

/** A registry of its own for one coordinator: nothing is global, so several fit in one process. */
export function createMetrics(sources: MetricSources, options: { readonly version: string }): Metrics {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  const counters = createCounters(registry);
  const histograms = createHistograms(registry);
  const gauges = createGauges(registry);
  const setAttendance = createAttendanceMetrics(registry);
  const setHeldOut = createEpochMetrics(registry);
  gauges.buildInfo.set({ version: options.version }, 1);
  return {
    ...createShareMetrics(registry),
    submissionMoved(state, code) {
      counters.submissions.inc({ state });
      if (state === 'rejected') counters.rejections.inc({ code: code ?? 'INTERNAL' });
    },
    evaluated: (ms) => histograms.evaluation.observe(ms / 1000),
    evaluationResult: (outcome) => counters.evaluationResults.inc({ outcome }),
    evaluationCost({ tokens, savedByLooks, savedByTrust }) {
      counters.evaluationTokens.inc({ purpose: 'judge' }, tokens);
      counters.evaluationTokensSaved.inc({ by: 'looks' }, savedByLooks);
      counters.evaluationTokensSaved.inc({ by: 'trust' }, savedByTrust);
    },
    evaluationTokens: (purpose, tokens) => counters.evaluationTokens.inc({ purpose }, tokens),
    committed({ blocks, commitMs, overheadMs }) {
      histograms.commit.observe(commitMs / 1000);
      for (let i = 0; i < blocks; i++) histograms.commitOverhead.observe(overheadMs / blocks / 1000);
    },
    paid: (kind, amount) => counters.paidUnits.inc({ kind }, Number(amount)),
    chatAnswered({ outcome, tokens, firstTokenMs }) {
      counters.chatRequests.inc({ outcome });
      counters.chatTokens.inc(tokens);
      if (firstTokenMs !== null) histograms.chatFirstToken.observe(firstTokenMs / 1000);
    },
    httpServed({ route, status, ms }) {
      counters.httpRequests.inc({ route, status: String(status) });
      histograms.http.observe({ route }, ms / 1000);
    },
    async scrape() {
      await refresh(gauges, sources);
      setAttendance(sources.attendance());
      setHeldOut(sources.heldOut());
      return { contentType: registry.contentType, body: await registry.metrics() };
    },
    describe: () => registry.getMetricsAsArray().map(({ name, help }) => ({ name, help })),
  };
}

interface StartAtZero {
  readonly submissions: Counter<'state'>;
  readonly rejections: Counter<'code'>;
  readonly evaluationResults: Counter<'outcome'>;
  readonly evaluationTokens: Counter<'purpose'>;
  readonly evaluationTokensSaved: Counter<'by'>;
  readonly paidUnits: Counter<'kind'>;
  readonly chatRequests: Counter<'outcome'>;
}
type Gauges = ReturnType<typeof createGauges>;

function createCounters(registry: Registry) {
  const counter = <L extends string>(name: string, help: string, labelNames: readonly L[] = []) =>
    new Counter<L>({ name: PREFIX + name, help, labelNames, registers: [registry] });
  const counters = {
    submissions: counter('submissions_total', 'Submissions that entered a state, since the start', ['state']),
    rejections: counter('submission_rejections_total', 'Rejected submissions, by error code', ['code']),
    evaluationResults: counter('evaluation_results_total', 'Results of workers, by what became of them', [
      'outcome',
    ]),
    evaluationTokens: counter(
      'evaluation_tokens_total',
      'Tokens that workers put through the model, by purpose',
      ['purpose'],
    ),
    evaluationTokensSaved: counter(
      'evaluation_tokens_saved_total',
      'Tokens that early looks, and trusted workers alone, made unnecessary',
      ['by'],
    ),
    paidUnits: counter('paid_units_total', 'Base units (1e-8 token) moved, by kind of entry', ['kind']),
    chatRequests: counter('chat_requests_total', 'Chat requests, by how they ended', ['outcome']),
    chatTokens: counter('chat_tokens_total', 'Tokens delivered to chat users'),
    httpRequests: counter('http_requests_total', 'HTTP requests answered', ['route', 'status']),
  };
  startAtZero(counters);
  return counters;
}

/** Labels whose values are known beforehand start at 0: without that point a rate misses the first event. */
function startAtZero(counters: StartAtZero): void {
  for (const state of SUBMISSION_STATES) counters.submissions.inc({ state }, 0);
  for (const code of Object.keys(ERRORS)) counters.rejections.inc({ code }, 0);
  for (const kind of ENTRY_KINDS) counters.paidUnits.inc({ kind }, 0);
  for (const outcome of EVALUATION_OUTCOMES) counters.evaluationResults.inc({ outcome }, 0);
  for (const purpose of EVALUATION_PURPOSES) counters.evaluationTokens.inc({ purpose }, 0);
  for (const by of ['looks', 'trust']) counters.evaluationTokensSaved.inc({ by }, 0);
  for (const outcome of CHAT_OUTCOMES) counters.chatRequests.inc({ outcome }, 0);
}

function createHistograms(registry: Registry) {
  const histogram = <L extends string>(
    name: string,
    help: string,
    spec: { buckets: number[]; labels?: L[] },
  ) =>
    new Histogram<L>({
      name: PREFIX + name,
      help,
      buckets: spec.buckets,
      labelNames: spec.labels ?? [],
      registers: [registry],
    });
  return {
    evaluation: histogram('evaluation_seconds', 'One evaluation, from lease to losses', {
      buckets: [0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 40, 80, 160, 320],
    }),
    commit: histogram('commit_seconds', 'Commit of one submission: last checks, payloads, durable batch', {
      buckets: [0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10],
    }),
    commitOverhead: histogram(
      'commit_overhead_seconds',
      'From evaluated to committed without the search for nonces, per tensor block',
      { buckets: [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 5] },
    ),
    chatFirstToken: histogram('chat_first_token_seconds', 'From a chat request to its first token', {
      buckets: [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10],
    }),
    http: histogram('http_request_seconds', 'From the head of an HTTP request to the end of its answer', {
      buckets: [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 60],
      labels: ['route'],
    }),
  };
}

function createGauges(registry: Registry) {
  const gauge = <L extends string>(name: string, help: string, labelNames: readonly L[] = []) =>
    new Gauge<L>({ name: PREFIX + name, help, labelNames, registers: [registry] });
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
