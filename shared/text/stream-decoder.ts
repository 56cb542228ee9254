/** What a broken or unfinished character decodes to. */
const REPLACEMENT = '\ufffd';
/**
 * An unfinished UTF-8 character is at most three bytes, and every token at least one: from any four tokens
 * on, a decoder is in the same state as one that read all of them.
 */
const CONTEXT_TOKENS = 4;
const MAX_HELD_TOKENS = 16;

/** The part of a tokenizer that is used, which may be in another thread. */
export interface TokenDecoder {
  decode(ids: readonly number[]): string | Promise<string>;
  /** Special tokens stand for no text. */
  isSpecial(id: number): boolean;
}

/**
 * Decodes a stream of token ids without ever handing out half a character. All pieces together are exactly
 * what the tokenizer decodes all ids to, less what it decodes those `before` to.
 */
export class StreamDecoder {
  readonly #tokenizer: TokenDecoder;
  #held: number[];
  /** Characters of the held tokens' text that are already handed out; undefined until they are known. */
  #emitted: number | undefined;

  /** `before` are tokens that the stream goes on from: a tokenizer may decode a first word otherwise than a later one. */
  constructor(tokenizer: TokenDecoder, before: readonly number[] = []) {
    this.#tokenizer = tokenizer;
    this.#held = before.filter((id) => !tokenizer.isSpecial(id)).slice(-CONTEXT_TOKENS);
  }

  /** The text that is certain after this token; empty while a character is unfinished. */
  async push(id: number): Promise<string> {
    if (this.#tokenizer.isSpecial(id)) return '';
    const emitted = await this.#emittedChars();
    const text = await this.#certain([...this.#held, id]);
    this.#held.push(id);
    this.#emitted = Math.max(emitted, text.length);
    if (this.#held.length > MAX_HELD_TOKENS) this.#forget();
    return text.slice(emitted);
  }

  /** The rest, with U+FFFD for a character that was never finished. The decoder is as new afterwards. */
  async flush(): Promise<string> {
    const emitted = await this.#emittedChars();
    const rest = (await this.#tokenizer.decode(this.#held)).slice(emitted);
    this.#held = [];
    this.#emitted = 0;
    return rest;
  }

  async #emittedChars(): Promise<number> {
    this.#emitted ??= (await this.#certain(this.#held)).length;
    return this.#emitted;
  }

  /** Of a run of broken bytes only the last U+FFFD can still change. */
  async #certain(ids: readonly number[]): Promise<string> {
    const text = await this.#tokenizer.decode(ids);
    return text.endsWith(REPLACEMENT) ? text.slice(0, -1) : text;
  }

  #forget(): void {
    this.#held = this.#held.slice(-CONTEXT_TOKENS);
    this.#emitted = undefined;
  }
}
