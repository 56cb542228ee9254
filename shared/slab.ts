/** A larger array is handed on as it is. */
const MOST_BYTES = 16 * 1024;
/** The first buffer is small: a large one for every read of one key makes the collector run every 100 reads (measured). */
const FIRST_BYTES = 1024;
const SLAB_BYTES = 256 * 1024;

/**
 * Copies many small byte arrays into few large buffers. A buffer of its own for each of the tens of thousands of
 * entries, keys and values of a payout takes longer to make and to collect than all the rest (measured).
 */
export class Slab {
  #bytes = new Uint8Array(0);
  #at = 0;

  /** The same bytes, which nobody else changes. They keep the buffer that they lie in alive. */
  copy(bytes: Uint8Array): Uint8Array {
    if (bytes.length > MOST_BYTES) return bytes;
    const copied = this.take(bytes.length);
    copied.set(bytes);
    return copied;
  }

  /** As many zero bytes. */
  take(length: number): Uint8Array {
    if (length > MOST_BYTES) return new Uint8Array(length);
    if (this.#at + length > this.#bytes.length) {
      const next = Math.max(FIRST_BYTES, 4 * this.#bytes.length, length);
      this.#bytes = new Uint8Array(Math.min(SLAB_BYTES, next));
      this.#at = 0;
    }
    const taken = this.#bytes.subarray(this.#at, this.#at + length);
    this.#at += length;
    return taken;
  }
}
