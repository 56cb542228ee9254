/** What a long check tells about itself while it runs. */
export interface Progress {
  /** A new part of `total` steps begins. */
  begin(what: string, total: number): void;
  /** `note` stands behind the count. */
  done(steps: number, note?: string): void;
  end(): void;
}

export const SILENT: Progress = { begin() {}, done() {}, end() {} };

const BAR_CHARS = 28;
/** A terminal need not be written to more often. */
const REDRAW_MS = 100;

/** One line of a terminal, written over: `chain B ██████░░░░ 1,204/2,000`. */
export class ProgressBar implements Progress {
  readonly #write: (text: string) => void;
  readonly #now: () => number;
  #what = '';
  #total = 1;
  #drawnAt = Number.NEGATIVE_INFINITY;

  constructor(write: (text: string) => void, now: () => number) {
    this.#write = write;
    this.#now = now;
  }

  begin(what: string, total: number): void {
    this.#what = what;
    this.#total = Math.max(1, total);
    this.#drawnAt = Number.NEGATIVE_INFINITY;
    this.done(0);
  }

  done(steps: number, note = ''): void {
    if (this.#now() - this.#drawnAt < REDRAW_MS) return;
    this.#drawnAt = this.#now();
    const share = Math.min(1, steps / this.#total);
    const full = Math.round(share * BAR_CHARS);
    const bar = '█'.repeat(full) + '░'.repeat(BAR_CHARS - full);
    const count = `${steps.toLocaleString('en')}/${this.#total.toLocaleString('en')}`;
    this.#write(`\r\u001b[K${this.#what} ${bar} ${count}${note}`);
  }

  end(): void {
    this.#write('\r\u001b[K');
  }
}
