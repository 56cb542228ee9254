/** Nonces start…end−1. */
export interface NonceRange {
  readonly start: bigint;
  readonly end: bigint;
}

const NONCES = 1n << 64n;

/**
 * Which nonces of one header are searched, leased, lost or untouched. Ranges that were lost are leased again before
 * new ones; each is in one place at a time.
 */
export class NonceSpace {
  readonly #lost: NonceRange[] = [];
  #next = 0n;
  #leased = 0n;
  #searched = 0n;
  /** Nonces that were leased and will not be searched again. */
  #skipped = 0n;

  /** The next range of at most `count` nonces; undefined where all are searched or leased. */
  take(count: bigint): NonceRange | undefined {
    const range = this.#takeLost(count) ?? this.#takeNew(count);
    if (range) this.#leased += range.end - range.start;
    return range;
  }

  /** A range came back, searched up to its end. */
  searched(range: NonceRange): void {
    this.#leased -= range.end - range.start;
    this.#searched += range.end - range.start;
  }

  /** A range came back, and nobody knows how far it was searched. */
  lost(range: NonceRange): void {
    this.#leased -= range.end - range.start;
    this.#lost.push(range);
  }

  /** A lost range of which shares were credited: whoever searched it again would find them again. */
  skipped(range: NonceRange): void {
    this.#leased -= range.end - range.start;
    this.#skipped += range.end - range.start;
  }

  /** The four parts sum to 2⁶⁴ − what was never touched. */
  get coverage(): Readonly<Record<'leased' | 'searched' | 'lost' | 'skipped', bigint>> {
    const lost = this.#lost.reduce((sum, { start, end }) => sum + end - start, 0n);
    return { leased: this.#leased, searched: this.#searched, lost, skipped: this.#skipped };
  }

  get isExhausted(): boolean {
    return this.#next === NONCES && this.#lost.length === 0;
  }

  #takeLost(count: bigint): NonceRange | undefined {
    const range = this.#lost.pop();
    if (!range) return undefined;
    const end = range.start + count;
    if (end >= range.end) return range;
    this.#lost.push({ start: end, end: range.end });
    return { start: range.start, end };
  }

  #takeNew(count: bigint): NonceRange | undefined {
    if (this.#next === NONCES) return undefined;
    const start = this.#next;
    this.#next = start + count < NONCES ? start + count : NONCES;
    return { start, end: this.#next };
  }
}
