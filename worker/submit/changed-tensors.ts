import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { must } from '#shared/errors/pool-error.ts';
import { DTYPE_BYTES, firstNonFinite } from '#shared/weights/dtype.ts';
import type { LocalTensor } from '#worker/submit/local-tensors.ts';

export interface ChangedTensor extends LocalTensor {
  /** SHA-256 of its bytes, hex. */
  readonly hash: string;
}

const PIECE_BYTES = 1024 * 1024;

/** The bytes of a tensor from `from` on, in pieces. */
export function readTensor({ path, start, end }: LocalTensor, from = 0): AsyncIterable<Uint8Array> {
  return createReadStream(path, { start: start + from, end: end - 1, highWaterMark: PIECE_BYTES });
}

/**
 * Hashes the tensors and leaves out those that the head has as they are. WEIGHTS_NOT_FINITE where one holds a NaN or
 * an infinity: the pool would refuse it, after all bytes were sent.
 */
export async function changedTensors(
  tensors: readonly LocalTensor[],
  head: ReadonlyMap<string, string>,
  { onBytes, signal }: { onBytes: (bytes: number) => void; signal: AbortSignal },
): Promise<ChangedTensor[]> {
  const changed: ChangedTensor[] = [];
  for (const tensor of tensors) {
    const sha = createHash('sha256');
    let at = 0;
    for await (const piece of readTensor(tensor)) {
      signal.throwIfAborted();
      checkFinite(tensor, piece, at);
      sha.update(piece);
      at += piece.length;
      onBytes(piece.length);
    }
    const hash = sha.digest('hex');
    if (hash !== head.get(tensor.name)) changed.push({ ...tensor, hash });
  }
  return changed;
}

/** Pieces are whole elements: both start and length of all but the last are multiples of 4. */
function checkFinite({ name, dtype }: LocalTensor, piece: Uint8Array, at: number): void {
  const bad = firstNonFinite(dtype, piece);
  must(
    bad < 0,
    'WEIGHTS_NOT_FINITE',
    () => `${name}: element ${at / DTYPE_BYTES[dtype] + bad} is NaN or infinite`,
  );
}
