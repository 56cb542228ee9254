import { createHash } from 'node:crypto';
import type { KeyPair } from '#shared/crypto/keys.ts';
import { must } from '#shared/errors/pool-error.ts';
import type { TensorRefMessage } from '#shared/protocol/worker.ts';
import { toFloat32 } from '#shared/weights/dtype.ts';
import { rootOf } from '#worker/model/model-slot.ts';
import { baseOf, signFile } from '#worker/submit/sign-file.ts';
import type { Head } from '#worker/train/miner-head.ts';
import { toBytes } from '#worker/train/tensor-bytes.ts';

/** Other work of the process runs between pieces of an upload. */
const PIECE_BYTES = 256 * 1024;

/** Weights as they would stand on the chain: in the head's dtypes. */
export interface Candidate {
  /** All tensors of the model. */
  readonly refs: readonly TensorRefMessage[];
  /** Those that are not the head's. */
  readonly changed: readonly TensorRefMessage[];
  readonly bytes: ReadonlyMap<string, Uint8Array>;
  /** What the bytes say, for judging. */
  readonly tensors: ReadonlyMap<string, Float32Array>;
  readonly root: string;
}

export interface SignedFile {
  /** Submission id, hex. */
  readonly id: string;
  readonly totalBytes: number;
  readonly body: AsyncIterable<Uint8Array>;
}

export function packCandidate(head: Head, weights: ReadonlyMap<string, Float32Array>): Candidate {
  const bytes = new Map<string, Uint8Array>();
  const tensors = new Map<string, Float32Array>();
  const refs = head.refs.map((ref) => {
    const values = weights.get(ref.name);
    must(values, 'INTERNAL', () => `${ref.name}: the trainer has no such tensor`);
    const packed = toBytes(ref.dtype, values);
    bytes.set(ref.name, packed);
    tensors.set(ref.name, ref.dtype === 'F32' ? values : toFloat32(ref.dtype, packed));
    return { ...ref, hash: createHash('sha256').update(packed).digest('hex') };
  });
  const changed = refs.filter(({ hash }, i) => hash !== head.refs[i]?.hash);
  return { refs, changed, bytes, tensors, root: rootOf(refs) };
}

/** Signs a candidate as a safetensors file, to be streamed from memory. PROTOCOL §9. */
export function signCandidate(candidate: Candidate, head: Head, key: KeyPair): SignedFile {
  const file = signFile(candidate.changed, baseOf(head.view), key);
  const parts = [file.header, ...file.order.map(({ name }) => candidate.bytes.get(name) as Uint8Array)];
  return { id: file.id, totalBytes: file.totalBytes, body: pieces(parts) };
}

async function* pieces(parts: readonly Uint8Array[]): AsyncGenerator<Uint8Array> {
  for (const part of parts) {
    for (let at = 0; at < part.length; at += PIECE_BYTES) yield part.subarray(at, at + PIECE_BYTES);
  }
}
