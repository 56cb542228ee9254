import type { Tokenizer } from '#shared/text/tokenizer.ts';

/** What a broken or unfinished character decodes to. */
const REPLACEMENT = '\ufffd';
/**
 * An unfinished UTF-8 character is at most three bytes, and every token at least one: from any four tokens
 * on, a decoder is in the same state as one that read all of them.
 */
const CONTEXT_TOKENS = 4;
const MAX_HELD_TOKENS = 16;

/**
 * Decodes a stream of token ids without ever handing out half a character. All pieces together are exactly
 * `tokenizer.decode` of all ids.
 */
export class StreamDecoder {
  readonly #tokenizer: Pick<Tokenizer, 'decode' | 'isSpecial'>;
  #held: number[] = [];
  /** Characters of the held tokens' text that are already handed out. */
  #emitted = 0;

  constructor(tokenizer: Pick<Tokenizer, 'decode' | 'isSpecial'>) {
    this.#tokenizer = tokenizer;
  }

  /** The text that is certain after this token; empty while a character is unfinished. */
  push(id: number): string {
    if (this.#tokenizer.isSpecial(id)) return '';
    const text = this.#certain([...this.#held, id]);
    this.#held.push(id);
    const piece = text.slice(this.#emitted);
    this.#emitted = text.length;
    if (this.#held.length > MAX_HELD_TOKENS) this.#forget();
    return piece;
  }

  /** The rest, with U+FFFD for a character that was never finished. The decoder is as new afterwards. */
  flush(): string {
    const rest = this.#tokenizer.decode(this.#held).slice(this.#emitted);
    this.#held = [];
    this.#emitted = 0;
    return rest;
  }

  /** Of a run of broken bytes only the last U+FFFD can still change. */
  #certain(ids: readonly number[]): string {
    const text = this.#tokenizer.decode(ids);
    return text.endsWith(REPLACEMENT) ? text.slice(0, -1) : text;
  }

  #forget(): void {
    this.#held = this.#held.slice(-CONTEXT_TOKENS);
    this.#emitted = this.#certain(this.#held).length;
  }
}
