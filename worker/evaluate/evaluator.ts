import type { ModelRef, TensorRefMessage } from '#shared/protocol/worker.ts';
import type { LossResult } from '#worker/evaluate/evaluation.ts';
import { LossCache, type WindowLoss } from '#worker/evaluate/loss-cache.ts';
import type { StartedBackend } from '#worker/model/backend.ts';
import { withTensors } from '#worker/model/model-slot.ts';
import type { ProcessHost } from '#worker/process/host.ts';

/** Loading the backend and its self-test; the native library takes the longest. */
const START_DEADLINE_MS = 120_000;

export interface EvaluationJob {
  readonly model: ModelRef;
  readonly changed: readonly TensorRefMessage[];
  readonly candidateRoot: string;
  readonly windows: readonly number[];
  readonly bearer: string;
}

export interface EvaluationOutcome {
  readonly base: readonly WindowLoss[];
  readonly candidate: readonly WindowLoss[];
  /** Tokens that were computed; what was known already does not count. */
  readonly tokens: number;
  readonly ms: number;
}

export interface EvaluatorOptions {
  readonly deadlineMs: number;
  readonly now: () => number;
}

type Progress = (done: number, total: number) => void;

/** Has losses computed by the evaluation process, and remembers them by model root and window. */
export class Evaluator {
  readonly #host: ProcessHost;
  readonly #options: EvaluatorOptions;
  readonly #known = new LossCache();

  constructor(host: ProcessHost, options: EvaluatorOptions) {
    this.#host = host;
    this.#options = options;
  }

  /** Starts the process and its backend; says which it is. */
  async start(signal: AbortSignal): Promise<StartedBackend> {
    const request = { kind: 'start' };
    return (await this.#host.request({
      request,
      signal,
      deadlineMs: START_DEADLINE_MS,
    })) as StartedBackend;
  }

  /** Losses of base and candidate on the same windows. Nothing changed: the head itself is measured, once. */
  async evaluate(job: EvaluationJob, signal: AbortSignal, progress: Progress): Promise<EvaluationOutcome> {
    const start = this.#options.now();
    const { model, changed, windows } = job;
    const candidate = withTensors(model, changed, job.candidateRoot);
    const missing = new Map([model, candidate].map((ref) => [ref.root, this.#missing(ref.root, windows)]));
    const total = Math.max(
      1,
      [...missing.values()].reduce((sum, list) => sum + list.length, 0),
    );
    let before = 0;
    let tokens = 0;
    for (const ref of missing.size > 1 ? [model, candidate] : [candidate]) {
      const list = missing.get(ref.root) ?? [];
      if (list.length === 0) continue;
      const at = before;
      const onEvent = (event: unknown) => progress(at + (event as { done: number }).done, total);
      tokens += await this.#compute({ ref, windows: list, bearer: job.bearer }, signal, onEvent);
      before += list.length;
    }
    const losses = (root: string) => windows.map((window) => this.#known.get(root, window) ?? null);
    return {
      base: losses(model.root),
      candidate: losses(candidate.root),
      tokens,
      ms: this.#options.now() - start,
    };
  }

  #missing(root: string, windows: readonly number[]): number[] {
    return windows.filter((window) => this.#known.get(root, window) === undefined);
  }

  async #compute(
    what: { ref: ModelRef; windows: readonly number[]; bearer: string },
    signal: AbortSignal,
    onEvent: (event: unknown) => void,
  ): Promise<number> {
    const request = { kind: 'losses', model: what.ref, windows: what.windows, bearer: what.bearer };
    const { deadlineMs } = this.#options;
    const result = (await this.#host.request({ request, signal, onEvent, deadlineMs })) as LossResult;
    this.#known.put(what.ref.root, what.windows, result.losses);
    return result.tokens;
  }
}
