/** A larger array is handed on as it is. */
const MOST_BYTES = 16 * 1024;
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
    if (this.#at + bytes.length > this.#bytes.length) {
      this.#bytes = new Uint8Array(SLAB_BYTES);
      this.#at = 0;
    }
    this.#bytes.set(bytes, this.#at);
    const copied = this.#bytes.subarray(this.#at, this.#at + bytes.length);
    this.#at += bytes.length;
    return copied;
  }
}
