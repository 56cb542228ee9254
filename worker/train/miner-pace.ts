/** Time to learn something that the gate can see, from the first weights on. */
export const FIRST_LOOK_MS = 20_000;
const MOST_MS = 90_000;
/** The gains shrink as the model learns: each accepted submission takes a little longer than the last. */
const AFTER_ACCEPTED = 1.1;
/** An estimate or a verdict that failed was early. */
const AFTER_FAILED = 1.2;

/** How long to train between two looks at whether the weights are worth a submission. */
export class Pace {
  #intervalMs: number;
  #trainedMs = 0;

  constructor(firstLookMs: number) {
    this.#intervalMs = firstLookMs;
  }

  trained(ms: number): void {
    this.#trainedMs += ms;
  }

  get due(): boolean {
    return this.#trainedMs >= this.#intervalMs;
  }

  /** There is reason to look before the time. */
  lookSoon(): void {
    this.#trainedMs = Number.POSITIVE_INFINITY;
  }

  /** Training since the last look starts to count again. */
  looked(): void {
    this.#trainedMs = 0;
  }

  accepted(): void {
    this.#intervalMs = Math.min(MOST_MS, this.#intervalMs * AFTER_ACCEPTED);
  }

  failed(): void {
    this.#intervalMs = Math.min(MOST_MS, this.#intervalMs * AFTER_FAILED);
  }
}
