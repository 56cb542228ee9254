import { ProgressBar } from '#worker/audit/progress.ts';
import type { CommandEnvironment } from '#worker/cli/command.ts';
import type { TrainEvent } from '#worker/train/train-model.ts';

/** How often figures are shown where there is no terminal to be written over. */
const JSON_MS = 500;
const PLAIN_MS = 10_000;

type Output = Pick<CommandEnvironment, 'out' | 'err' | 'terminal' | 'now'>;

export interface TrainReporter {
  readonly report: (event: TrainEvent) => void;
  note(text: string): void;
  end(): void;
}

/** Shows a training run as JSON lines, or as text lines with a progress bar on a terminal. */
export function trainReporter(output: Output, json: boolean): TrainReporter {
  return json ? jsonReport(output) : new TextReport(output);
}

function jsonReport({ out, now }: Output): TrainReporter {
  const write = (value: object) => out(`${JSON.stringify({ at: now(), ...value })}\n`);
  const due = every(JSON_MS, now);
  return {
    report(event) {
      if (event.type !== 'step' || due()) write(event);
    },
    note: (text) => write({ type: 'note', text }),
    end() {},
  };
}

class TextReport implements TrainReporter {
  readonly #output: Output;
  readonly #bar: ProgressBar;
  readonly #due: () => boolean;
  #steps = 0;

  constructor(output: Output) {
    this.#output = output;
    this.#bar = new ProgressBar(output.err, output.now);
    this.#due = every(PLAIN_MS, output.now);
  }

  readonly report = (event: TrainEvent): void => {
    switch (event.type) {
      case 'ready':
        this.#steps = event.steps;
        this.note(
          `training ${event.trained} of ${event.tensors} tensors of ${event.model} on ${event.trainingTokens} tokens (${event.text})`,
        );
        if (event.step > 0) this.note(`going on from the checkpoint of step ${event.step}`);
        if (this.#output.terminal) this.#bar.begin('training', event.steps);
        break;
      case 'step':
        this.#step(event);
        break;
      case 'checkpoint':
        if (!this.#output.terminal) this.note(`checkpoint of step ${event.step}: ${event.path}`);
        break;
      case 'written':
        this.end();
        this.note(`The model is in ${event.dir}: ${event.files.map(({ name }) => name).join(', ')}`);
        break;
    }
  };

  note(text: string): void {
    this.#output.out(`${text}\n`);
  }

  end(): void {
    if (this.#output.terminal) this.#bar.end();
  }

  #step({ step, loss, tokensPerSecond, etaSeconds }: Extract<TrainEvent, { type: 'step' }>): void {
    const figures = `loss ${loss.toFixed(3)}  ${Math.round(tokensPerSecond)} tokens/s  ${duration(etaSeconds)} left`;
    if (this.#output.terminal) this.#bar.done(step, `  ${figures}`);
    else if (this.#due() || step === this.#steps) this.note(`step ${step}/${this.#steps}  ${figures}`);
  }
}

/** `2 h 05 min`, `3 min 20 s` or `12 s`. */
export function duration(seconds: number): string {
  const [whole, two] = [Math.ceil(seconds), (n: number) => String(n).padStart(2, '0')];
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${two(whole % 60)} s`;
  return `${Math.floor(whole / 3600)} h ${two(Math.floor((whole % 3600) / 60))} min`;
}

/** True the first time, and then once in so many milliseconds. */
function every(ms: number, now: () => number): () => boolean {
  let last = Number.NEGATIVE_INFINITY;
  return () => {
    if (now() - last < ms) return false;
    last = now();
    return true;
  };
}
