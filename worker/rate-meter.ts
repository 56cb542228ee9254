/** Long enough to hold several results, short enough to show a change. */
const WINDOW_MS = 10_000;

/** How much was done per second over the last ten seconds. */
export class RateMeter {
  readonly #now: () => number;
  readonly #done: { at: number; amount: number }[] = [];
  readonly #since: number;

  constructor(now: () => number) {
    this.#now = now;
    this.#since = now();
  }

  add(amount: number): void {
    this.#done.push({ at: this.#now(), amount });
    this.#forget();
  }

  perSecond(): number {
    this.#forget();
    const overMs = Math.min(WINDOW_MS, this.#now() - this.#since);
    const sum = this.#done.reduce((total, { amount }) => total + amount, 0);
    return overMs > 0 ? (sum * 1000) / overMs : 0;
  }

  #forget(): void {
    const oldest = this.#now() - WINDOW_MS;
    while (this.#done[0] !== undefined && this.#done[0].at < oldest) this.#done.shift();
  }
}
