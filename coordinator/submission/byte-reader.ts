import { must } from '#shared/errors/pool-error.ts';

/** Reads the start of a stream exactly, and the rest as it comes. Never holds more than one piece. */
export class ByteReader {
  readonly #source: AsyncIterator<Uint8Array>;
  #rest: Uint8Array = new Uint8Array(0);

  constructor(source: AsyncIterable<Uint8Array>) {
    this.#source = source[Symbol.asyncIterator]();
  }

  /** Exactly `length` bytes in one piece: for small parts only. */
  async exactly(length: number): Promise<Uint8Array> {
    const out = new Uint8Array(length);
    for (let at = 0; at < length; ) {
      if (this.#rest.length === 0) await this.#pull(length - at);
      const piece = this.#rest.subarray(0, length - at);
      out.set(piece, at);
      at += piece.length;
      this.#rest = this.#rest.subarray(piece.length);
    }
    return out;
  }

  /** True where nothing follows. */
  async atEnd(): Promise<boolean> {
    while (this.#rest.length === 0) {
      const { done, value } = await this.#source.next();
      if (done) return true;
      this.#rest = value;
    }
    return false;
  }

  /** Everything that follows, as it comes. */
  async *rest(): AsyncGenerator<Uint8Array> {
    if (this.#rest.length > 0) yield this.#rest;
    this.#rest = new Uint8Array(0);
    yield* { [Symbol.asyncIterator]: () => this.#source };
  }

  async #pull(missing: number): Promise<void> {
    const { done, value } = await this.#source.next();
    must(!done, 'WEIGHTS_TRUNCATED', () => `the stream ended ${missing} bytes before its end`);
    this.#rest = value;
  }
}
