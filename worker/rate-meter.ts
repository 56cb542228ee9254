/** How much is done per second of work, over the last while; 0 where nothing was done in it. */
export class RateMeter {
  readonly #now: () => number;
  readonly #windowMs: number;
  readonly #done: { at: number; amount: number; ms: number }[] = [];

  constructor(now: () => number, windowMs: number) {
    this.#now = now;
    this.#windowMs = windowMs;
  }

  /** `ms`: the time that was spent on it. */
  add(amount: number, ms: number): void {
    this.#done.push({ at: this.#now(), amount, ms });
    this.#forget();
  }

  perSecond(): number {
    this.#forget();
    let amount = 0;
    let ms = 0;
    for (const done of this.#done) {
      amount += done.amount;
      ms += done.ms;
    }
    return ms > 0 ? (amount * 1000) / ms : 0;
  }

  #forget(): void {
    const oldest = this.#now() - this.#windowMs;
    while (this.#done[0] !== undefined && this.#done[0].at < oldest) this.#done.shift();
  }
}
