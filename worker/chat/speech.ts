/**
 * A small model makes hundreds of tokens a second, more than anybody reads and more messages than a coordinator
 * takes: what comes within this time goes out together.
 */
const TOGETHER_MS = 25;
/** Half of what a message may hold. */
const MAX_PIECE_CHARS = 5_000;

/** Hands text on in pieces: the first at once, the others not too often. */
export class Speech {
  readonly #emit: (event: { text: string }) => void;
  readonly #now: () => number;
  #held = '';
  #saidAt = Number.NEGATIVE_INFINITY;

  constructor(emit: (event: { text: string }) => void, now: () => number) {
    this.#emit = emit;
    this.#now = now;
  }

  say(text: string): void {
    this.#held += text;
    if (this.#now() - this.#saidAt >= TOGETHER_MS || this.#held.length > MAX_PIECE_CHARS) this.end();
  }

  end(): void {
    for (let at = 0; at < this.#held.length; at += MAX_PIECE_CHARS)
      this.#emit({ text: this.#held.slice(at, at + MAX_PIECE_CHARS) });
    if (this.#held !== '') this.#saidAt = this.#now();
    this.#held = '';
  }
}
