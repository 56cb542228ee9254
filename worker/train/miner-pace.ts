/** Time to learn something that the gate can see, from the first weights on. */
const FIRST_LOOK_MS = 20_000;
const MOST_MS = 90_000;
/** The gains shrink as the model learns: each accepted submission takes a little longer than the last. */
const AFTER_ACCEPTED = 1.1;
/** An estimate or a verdict that failed was early. */
const AFTER_FAILED = 1.2;

/** What judging may cost of what was trained, both in tokens: workers have more to do than to look at small steps. */
const PRICE_SHARE = 0.01;
/** But so long after the last one a submission is sent whatever it costs: others wait for better weights. */
const MOST_PATIENCE_MS = 1_800_000;
const PATIENCE_GROWS = 1.1;
/** Of the patience for the others: the first weights are soon much better than random ones. */
const FIRST_PATIENCE = 0.5;
/** What is too dear now may soon be cheaper, as the gain grows. */
const MOST_WAIT_MS = 30_000;

export interface PaceOptions {
  /** Training before the first look at whether the weights are worth a submission. */
  readonly firstLookMs?: number | undefined;
  /** What judging a submission may cost of what was trained for it, tokens for tokens; a hundredth unless given. */
  readonly priceShare?: number | undefined;
  /** Training after which a submission is sent whatever it costs; it grows with each that is accepted. */
  readonly patienceMs?: number | undefined;
}

/** How long to train between two looks at whether the weights are worth a submission, and what it may cost. */
export class Pace {
  readonly #priceShare: number;
  #intervalMs: number;
  #trainedMs = 0;
  #patienceMs: number;
  /** Until the next look, where something else than the usual interval is right. */
  #waitMs: number | undefined;
  /** Since the last accepted submission. */
  #since: { tokens: number; ms: number; patienceMs: number };

  constructor(options: PaceOptions) {
    this.#patienceMs = options.patienceMs ?? MOST_PATIENCE_MS;
    this.#since = { tokens: 0, ms: 0, patienceMs: FIRST_PATIENCE * this.#patienceMs };
    this.#intervalMs = options.firstLookMs ?? FIRST_LOOK_MS;
    this.#priceShare = options.priceShare ?? PRICE_SHARE;
  }

  trained({ ms, tokens }: { readonly ms: number; readonly tokens: number }): void {
    this.#trainedMs += ms;
    this.#since.ms += ms;
    this.#since.tokens += tokens;
  }

  /** Tokens since the last accepted submission. */
  get trainedTokens(): number {
    return this.#since.tokens;
  }

  get due(): boolean {
    return this.#trainedMs >= (this.#waitMs ?? this.#intervalMs);
  }

  /** There is reason to look before the time. */
  lookSoon(): void {
    this.#trainedMs = Number.POSITIVE_INFINITY;
  }

  /** Training since the last look starts to count again. */
  looked(): void {
    this.#trainedMs = 0;
    this.#waitMs = undefined;
  }

  /** Whether a submission is worth so many tokens of the workers; if not, the next look is when it may be. */
  affords(priceTokens: number): boolean {
    const { tokens, ms, patienceMs } = this.#since;
    const missing = priceTokens / this.#priceShare - tokens;
    if (missing <= 0 || ms >= patienceMs) return true;
    const untilTrained = (missing / Math.max(1, tokens)) * ms;
    this.#waitMs = Math.min(untilTrained, patienceMs - ms, MOST_WAIT_MS);
    return false;
  }

  accepted(): void {
    this.#intervalMs = Math.min(MOST_MS, this.#intervalMs * AFTER_ACCEPTED);
    this.#since = { tokens: 0, ms: 0, patienceMs: this.#patienceMs };
    this.#patienceMs = Math.min(MOST_PATIENCE_MS, this.#patienceMs * PATIENCE_GROWS);
  }

  failed(): void {
    this.#intervalMs = Math.min(MOST_MS, this.#intervalMs * AFTER_FAILED);
  }
}
