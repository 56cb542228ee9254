import { Counter, collectDefaultMetrics, Histogram, Registry } from 'prom-client';
import { createGatewayMetrics, type GatewayMetrics } from '#coordinator/metrics/gateway-metrics.ts';
import { createGauges, type MetricSources } from '#coordinator/metrics/gauges.ts';
import { createShareMetrics, type ShareMetrics } from '#coordinator/metrics/share-metrics.ts';
import { ENTRY_KINDS, type EntryKind } from '#shared/block/journal.ts';
import { ERRORS, type ErrorCode } from '#shared/errors/catalogue.ts';
import { SUBMISSION_STATES, type SubmissionState } from '#shared/lifecycle.ts';

const PREFIX = 'aiblock_';
const EVALUATION_OUTCOMES = ['agreed', 'outvoted', 'late', 'canary-right', 'canary-wrong'] as const;
export type EvaluationOutcome = (typeof EVALUATION_OUTCOMES)[number];
/** What workers put tokens through the model for: to judge a submission, to measure a head, to test a worker. */
const EVALUATION_PURPOSES = ['judge', 'head', 'canary', 'held-out'] as const;
export type EvaluationPurpose = (typeof EVALUATION_PURPOSES)[number];
const CHAT_OUTCOMES = ['stop', 'length', 'cancelled', 'error'] as const;

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
export interface Metrics extends ShareMetrics, GatewayMetrics {
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
  const readSources = createGauges(registry, options);
  return {
    ...createShareMetrics(registry),
    ...createGatewayMetrics(registry),
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
      await readSources(sources);
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
