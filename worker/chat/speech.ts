/**
 * A small model makes hundreds of tokens a second, more than anybody reads and more messages than a coordinator
 * takes: what comes within this time goes out together.
 */
const TOGETHER_MS = 25;
/** Half of what a message may hold. */
const MAX_PIECE_CHARS = 5_000;

/** Text of an answer, and the tokens that were made for it. */
export interface Piece {
  readonly text: string;
  readonly tokens: number;
}

/** Hands text on in pieces: the first at once, the others not too often. */
export class Speech {
  readonly #emit: (piece: Piece) => void;
  readonly #now: () => number;
  #held = '';
  #tokens = 0;
  #saidAt = Number.NEGATIVE_INFINITY;

  constructor(emit: (piece: Piece) => void, now: () => number) {
    this.#emit = emit;
    this.#now = now;
  }

  /** What one token made of it, which may be nothing yet; `tokens` is 0 where none was made for it. */
  say(text: string, tokens = 1): void {
    this.#held += text;
    this.#tokens += tokens;
    if (this.#now() - this.#saidAt >= TOGETHER_MS || this.#held.length > MAX_PIECE_CHARS) this.end();
  }

  end(): void {
    for (let at = 0; at < this.#held.length; at += MAX_PIECE_CHARS) {
      this.#emit({ text: this.#held.slice(at, at + MAX_PIECE_CHARS), tokens: this.#tokens });
      this.#tokens = 0;
    }
    if (this.#held !== '') this.#saidAt = this.#now();
    this.#held = '';
  }
}
