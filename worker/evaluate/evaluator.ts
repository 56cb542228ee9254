import { PoolError } from '#shared/errors/pool-error.ts';
import { firstDecision, type SequentialRule } from '#shared/pol/sequential.ts';
import type { HeldOutRef, ModelRef, TensorRefMessage } from '#shared/protocol/worker.ts';
import type { LossRequest, LossResult } from '#worker/evaluate/evaluation.ts';
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
  /** Where the windows are of these shards, and not of the public set. */
  readonly heldOut?: HeldOutRef | undefined;
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

type Wanted = Pick<EvaluationJob, 'windows' | 'heldOut'>;

/** Has losses computed by the evaluation process, and remembers them by model root, set and window. */
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
    const { model, windows, bearer, heldOut } = job;
    const candidate = withTensors(model, job.changed, job.candidateRoot);
    const steps = { done: 0, total: Math.max(1, this.#countMissing([model, candidate], job)) };
    const onEvent = (event: unknown) => progress(steps.done + (event as { done: number }).done, steps.total);
    let tokens = 0;
    for (const end of job.rule?.looks ?? [windows.length]) {
      const seen = windows.slice(0, end);
      for (const ref of model.root === candidate.root ? [candidate] : [model, candidate]) {
        const list = this.#missing(ref, { windows: seen, heldOut });
        if (list.length === 0) continue;
        tokens += await this.#compute({ model: ref, windows: list, heldOut, bearer }, signal, onEvent);
        steps.done += list.length;
      }
      const losses = (ref: ModelRef) =>
        seen.map((window) => this.#known.get(keyOf(ref, heldOut), window) ?? null);
      const found = { base: losses(model), candidate: losses(candidate) };
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

  #countMissing(refs: readonly ModelRef[], wanted: Wanted): number {
    const different = new Map(refs.map((ref) => [ref.root, ref]));
    return [...different.values()].reduce((sum, ref) => sum + this.#missing(ref, wanted).length, 0);
  }

  #missing(ref: ModelRef, { windows, heldOut }: Wanted): number[] {
    return windows.filter((window) => this.#known.get(keyOf(ref, heldOut), window) === undefined);
  }

  async #compute(
    losses: LossRequest,
    signal: AbortSignal,
    onEvent: (event: unknown) => void,
  ): Promise<number> {
    const { deadlineMs } = this.#options;
    const request = { kind: 'losses', ...losses };
    const result = (await this.#host.request({ request, signal, onEvent, deadlineMs })) as LossResult;
    this.#known.put(keyOf(losses.model, losses.heldOut), losses.windows, result.losses);
    return result.tokens;
  }
}

/** A window's number means another text under another Meta block, and in the held-out part. */
const keyOf = ({ metaPayload, root }: ModelRef, heldOut: HeldOutRef | undefined): string =>
  `${metaPayload} ${root} ${heldOut?.root ?? ''}`;
