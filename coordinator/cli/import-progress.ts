import type { Progress } from '#coordinator/progress.ts';

const BAR_CHARS = 28;
/** A terminal need not be written to more often, a log hardly at all. */
const REDRAW_MS = 100;
const LINE_MS = 10_000;

interface Output {
  readonly terminal: boolean;
  readonly now: () => number;
  readonly err: (text: string) => void;
}

/** Steps of an import on standard error: a bar on a terminal, a line now and then elsewhere. */
export class ImportBar implements Progress {
  readonly #output: Output;
  #step = '';
  #total = 0;
  #done = 0;
  #startedAt = 0;
  #shownAt = 0;

  constructor(output: Output) {
    this.#output = output;
  }

  begin(step: string, totalBytes: number): void {
    this.#step = step;
    this.#total = totalBytes;
    this.#done = 0;
    this.#startedAt = this.#output.now();
    this.#shownAt = this.#startedAt;
    if (this.#output.terminal) this.#draw();
    else this.#output.err(`${step}: ${size(totalBytes)}\n`);
  }

  add(bytes: number): void {
    this.#done += bytes;
    const now = this.#output.now();
    if (now - this.#shownAt < (this.#output.terminal ? REDRAW_MS : LINE_MS)) return;
    this.#shownAt = now;
    this.#draw();
  }

  end(): void {
    if (this.#output.terminal && this.#step !== '') this.#output.err('\r\u001b[K');
    this.#step = '';
  }

  note(text: string): void {
    this.#output.err(`${text}\n`);
  }

  #draw(): void {
    const share = this.#total > 0 ? Math.min(1, this.#done / this.#total) : 1;
    const rate = this.#done / Math.max(0.001, (this.#output.now() - this.#startedAt) / 1000);
    const left = rate > 0 ? `, ${Math.ceil((this.#total - this.#done) / rate)} s left` : '';
    const count = `${size(this.#done)} of ${size(this.#total)}, ${size(rate)}/s${left}`;
    if (!this.#output.terminal) {
      this.#output.err(`${this.#step}: ${Math.floor(share * 100)} %, ${count}\n`);
      return;
    }
    const full = Math.round(share * BAR_CHARS);
    const bar = '█'.repeat(full) + '░'.repeat(BAR_CHARS - full);
    this.#output.err(`\r\u001b[K${this.#step} ${bar} ${count}`);
  }
}

/** 1,234,567 → "1.2 MB". */
export function size(bytes: number): string {
  const units = ['bytes', 'kB', 'MB', 'GB', 'TB'] as const;
  let value = bytes;
  let unit = 0;
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1000;
    unit++;
  }
  return `${unit === 0 ? Math.round(value) : value.toFixed(1)} ${units[unit]}`;
}
