import { must } from '#shared/errors/pool-error.ts';

/** Pulls exact numbers of bytes from a stream, in pieces as they come, never holding more than one. */
export class ByteReader {
  readonly #source: AsyncIterator<Uint8Array>;
  #rest: Uint8Array = new Uint8Array(0);

  constructor(source: AsyncIterable<Uint8Array>) {
    this.#source = source[Symbol.asyncIterator]();
  }

  /** Exactly `length` bytes in one piece: for small parts only. */
  async exactly(length: number): Promise<Uint8Array> {
    const out = new Uint8Array(length);
    let at = 0;
    for await (const piece of this.pieces(length)) {
      out.set(piece, at);
      at += piece.length;
    }
    return out;
  }

  /** The next `length` bytes as they come. WEIGHTS_TRUNCATED where the stream ends before. */
  async *pieces(length: number): AsyncGenerator<Uint8Array> {
    for (let missing = length; missing > 0; ) {
      if (this.#rest.length === 0) await this.#pull(missing);
      const piece = this.#rest.subarray(0, missing);
      this.#rest = this.#rest.subarray(piece.length);
      missing -= piece.length;
      yield piece;
    }
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

  async #pull(missing: number): Promise<void> {
    const { done, value } = await this.#source.next();
    must(!done, 'WEIGHTS_TRUNCATED', () => `the stream ended ${missing} bytes before its end`);
    this.#rest = value;
  }
}
