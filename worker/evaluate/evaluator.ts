import { PoolError } from '#shared/errors/pool-error.ts';
import { firstDecision, type SequentialRule } from '#shared/pol/sequential.ts';
import type { ModelRef, TensorRefMessage } from '#shared/protocol/worker.ts';
import type { LossResult } from '#worker/evaluate/evaluation.ts';
import { LossCache, type WindowLoss } from '#worker/evaluate/loss-cache.ts';
import { withTensors } from '#worker/model/model-slot.ts';
import type { ProcessHost } from '#worker/process/host.ts';

/** Loading the backend and its self-test; the native library takes the longest. */
const START_DEADLINE_MS = 120_000;

export interface EvaluationJob {
  readonly model: ModelRef;
  readonly changed: readonly TensorRefMessage[];
  readonly candidateRoot: string;
  readonly windows: readonly number[];
  /** The gate, whose looks may end the evaluation early; without it every window is evaluated. */
  readonly rule?: SequentialRule | null;
  readonly bearer: string;
}

/** Losses of the first windows of the job, up to the look that decided. */
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

  /** Starts the process and its backend, so that the first evaluation need not wait for them. */
  async start(signal: AbortSignal): Promise<void> {
    await this.#host.request({ request: { kind: 'start' }, signal, deadlineMs: START_DEADLINE_MS });
  }

  /**
   * Losses of base and candidate on the same windows, look by look until one decides. Nothing changed: the head
   * itself is measured, once.
   */
  async evaluate(job: EvaluationJob, signal: AbortSignal, progress: Progress): Promise<EvaluationOutcome> {
    const start = this.#options.now();
    const { model, windows } = job;
    const candidate = withTensors(model, job.changed, job.candidateRoot);
    const steps = { done: 0, total: Math.max(1, this.#countMissing([model, candidate], windows)) };
    const onEvent = (event: unknown) => progress(steps.done + (event as { done: number }).done, steps.total);
    let tokens = 0;
    for (const end of job.rule?.looks ?? [windows.length]) {
      const seen = windows.slice(0, end);
      for (const ref of model.root === candidate.root ? [candidate] : [model, candidate]) {
        const list = this.#missing(ref, seen);
        if (list.length === 0) continue;
        tokens += await this.#compute({ ref, windows: list, bearer: job.bearer }, signal, onEvent);
        steps.done += list.length;
      }
      const found = { base: this.#losses(model, seen), candidate: this.#losses(candidate, seen) };
      if (end === windows.length || this.#decides(found, job.rule))
        return { ...found, tokens, ms: this.#options.now() - start };
    }
    throw new PoolError('BAD_REQUEST', 'expected the last look to be at all windows');
  }

  #decides({ base, candidate }: Pick<EvaluationOutcome, 'base' | 'candidate'>, rule: EvaluationJob['rule']) {
    // A base that is not finite decides nothing, and is told as it is.
    return (
      !!rule && base.every((loss) => loss !== null) && firstDecision(base, candidate, rule) !== undefined
    );
  }

  #losses(ref: ModelRef, windows: readonly number[]): WindowLoss[] {
    return windows.map((window) => this.#known.get(keyOf(ref), window) ?? null);
  }

  #countMissing(refs: readonly ModelRef[], windows: readonly number[]): number {
    const different = new Map(refs.map((ref) => [ref.root, ref]));
    return [...different.values()].reduce((sum, ref) => sum + this.#missing(ref, windows).length, 0);
  }

  #missing(ref: ModelRef, windows: readonly number[]): number[] {
    return windows.filter((window) => this.#known.get(keyOf(ref), window) === undefined);
  }

  async #compute(
    what: { ref: ModelRef; windows: readonly number[]; bearer: string },
    signal: AbortSignal,
    onEvent: (event: unknown) => void,
  ): Promise<number> {
    const request = { kind: 'losses', model: what.ref, windows: what.windows, bearer: what.bearer };
    const { deadlineMs } = this.#options;
    const result = (await this.#host.request({ request, signal, onEvent, deadlineMs })) as LossResult;
    this.#known.put(keyOf(what.ref), what.windows, result.losses);
    return result.tokens;
  }
}

/** A window's number means another text under another Meta block. */
const keyOf = ({ metaPayload, root }: ModelRef): string => `${metaPayload} ${root}`;
