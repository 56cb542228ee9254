/**
 * Ends a stream of text before the first of some strings, however the stream is cut into pieces. What may yet
 * become one of them is held back; the string that ends the stream, and what follows it, are never handed out.
 */
export class StopStrings {
  readonly #stops: readonly string[];
  #held = '';
  #found = false;

  /** None of `stops` may be empty. */
  constructor(stops: readonly string[]) {
    this.#stops = stops;
  }

  get found(): boolean {
    return this.#found;
  }

  /** The text that is certain after this piece. */
  push(piece: string): string {
    if (this.#found) return '';
    this.#held += piece;
    const cut = this.#firstStop();
    this.#found = cut >= 0;
    const certain = this.#held.slice(0, this.#found ? cut : this.#held.length - this.#begun());
    this.#held = this.#held.slice(certain.length);
    return certain;
  }

  /** What was held back, once no more text comes. */
  end(): string {
    const rest = this.#found ? '' : this.#held;
    this.#held = '';
    return rest;
  }

  /** Where the stop string that is complete first begins, −1 without one: the answer that reading letter by letter gives. */
  #firstStop(): number {
    let begin = -1;
    let end = Number.POSITIVE_INFINITY;
    for (const stop of this.#stops) {
      const at = this.#held.indexOf(stop);
      if (at < 0 || at + stop.length > end) continue;
      begin = at + stop.length === end ? Math.min(begin, at) : at;
      end = at + stop.length;
    }
    return begin;
  }

  /** Length of the longest end of the text with which a stop string begins. */
  #begun(): number {
    const longest = this.#stops.reduce((most, { length }) => Math.max(most, length - 1), 0);
    for (let length = Math.min(longest, this.#held.length); length > 0; length--) {
      const end = this.#held.slice(-length);
      if (this.#stops.some((stop) => stop.startsWith(end))) return length;
    }
    return 0;
  }
}
