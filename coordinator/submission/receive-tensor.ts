import { createHash } from 'node:crypto';
import { type FileHandle, open } from 'node:fs/promises';
import { toHex } from '#shared/crypto/bytes.ts';
import { must } from '#shared/errors/pool-error.ts';
import { DTYPE_BYTES, firstNonFinite } from '#shared/weights/dtype.ts';
import type { TensorRef } from '#shared/weights/model-root.ts';

/**
 * Takes one tensor from the stream: checks that every value is finite and that the bytes have the signed hash, and
 * writes them to `file` (nowhere where it is null). Holds one piece in memory.
 */
export async function receiveTensor(
  tensor: TensorRef,
  pieces: AsyncIterable<Uint8Array>,
  file: string | null,
): Promise<void> {
  const sha = createHash('sha256');
  const handle = file === null ? null : await open(file, 'w');
  try {
    const finite = new FiniteCheck(tensor);
    for await (const piece of pieces) {
      finite.take(piece);
      sha.update(piece);
      await writeAll(handle, piece);
    }
    const hash = sha.digest('hex');
    const signed = toHex(tensor.payloadHash);
    must(
      hash === signed,
      'WEIGHTS_HASH',
      () => `${tensor.name}: expected bytes of hash ${signed}, got ${hash}`,
    );
    await handle?.datasync();
  } finally {
    await handle?.close();
  }
}

async function writeAll(handle: FileHandle | null, piece: Uint8Array): Promise<void> {
  if (!handle) return;
  for (let at = 0; at < piece.length; ) at += (await handle.write(piece, at)).bytesWritten;
}

/** Pieces end anywhere; an element cut in two is carried over to the next piece. */
class FiniteCheck {
  readonly #tensor: TensorRef;
  #carry: Uint8Array = new Uint8Array(0);
  #elements = 0;

  constructor(tensor: TensorRef) {
    this.#tensor = tensor;
  }

  take(piece: Uint8Array): void {
    const { dtype, name } = this.#tensor;
    const width = DTYPE_BYTES[dtype];
    const missing = this.#carry.length === 0 ? 0 : Math.min(width - this.#carry.length, piece.length);
    if (missing > 0) {
      const cut = new Uint8Array([...this.#carry, ...piece.subarray(0, missing)]);
      if (cut.length < width) {
        this.#carry = cut;
        return;
      }
      this.#check(cut, name);
    }
    const rest = piece.subarray(missing);
    const whole = rest.length - (rest.length % width);
    this.#check(rest.subarray(0, whole), name);
    this.#carry = rest.slice(whole);
  }

  #check(elements: Uint8Array, name: string): void {
    const { dtype } = this.#tensor;
    const bad = firstNonFinite(dtype, elements);
    must(bad < 0, 'WEIGHTS_NOT_FINITE', () => `${name}: element ${this.#elements + bad} is NaN or infinite`);
    this.#elements += elements.length / DTYPE_BYTES[dtype];
  }
}
