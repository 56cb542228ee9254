import type { Progress } from '#worker/audit/progress.ts';

/** One line of a report. */
export interface CheckLine {
  readonly what: string;
  readonly count: number;
  readonly ms: number;
  readonly note: string;
}

export interface StepDependencies {
  readonly progress: Progress;
  readonly signal: AbortSignal;
  readonly now: () => number;
}

/** The steps of an audit as they are done: progress on the way, a line of the report at the end. */
export class AuditSteps {
  readonly #deps: StepDependencies;
  readonly #lines: CheckLine[] = [];

  constructor(dependencies: StepDependencies) {
    this.#deps = dependencies;
  }

  get lines(): readonly CheckLine[] {
    return this.#lines;
  }

  /** `work` tells how many of `total` are done; between two of them the audit can be aborted. */
  async step(
    what: string,
    total: number,
    work: (done: (steps: number) => void) => Promise<{ count: number; note: string }>,
  ): Promise<void> {
    const { now, progress, signal } = this.#deps;
    const start = now();
    progress.begin(what, total);
    const before = this.#lines.length;
    const { count, note } = await work((steps) => {
      signal.throwIfAborted();
      progress.done(steps);
    });
    // Before what it noted on the way.
    this.#lines.splice(before, 0, { what, count, ms: now() - start, note });
  }

  /** What was checked on the way. */
  line(what: string, count: number, note: string): void {
    this.#lines.push({ what, count, ms: 0, note });
  }
}
