import * as tf from '@tensorflow/tfjs';
import type { BackendWasm } from '@tensorflow/tfjs-backend-wasm';
import { must } from '#shared/errors/pool-error.ts';
import { type AnyTensor, readFloats } from '#worker/model/stored-tensor.ts';

/** Rows [start, end) of a matrix. */
export interface RowRange {
  readonly start: number;
  readonly end: number;
}

/**
 * Values of a stored tensor in the memory of the current backend. WebAssembly gets them piece by piece; for the
 * others one copy of the tensor is in this process's own memory until they have taken it.
 */
export async function loadTensor(
  stored: AnyTensor,
  shape: readonly number[],
  rows?: RowRange,
): Promise<tf.Tensor> {
  const [first = 1, ...rest] = shape;
  const width = rest.reduce((a, b) => a * b, 1);
  const { start, end } = rows ?? { start: 0, end: first };
  const wanted = { start: start * width, count: (end - start) * width };
  const wantedShape = shape.length === 0 ? [] : [end - start, ...rest];
  if (tf.getBackend() === 'wasm') return await loadWasm(stored, wantedShape, wanted);
  const values = alignedFloats(wanted.count);
  await readFloats(stored, {
    ...wanted,
    fixed: true,
    room: (at, count) => values.subarray(at, at + count),
  });
  const tensor = tf.tensor(values, wantedShape, 'float32');
  // On other backends the values are copied when they are wanted, nobody knows when.
  if (tf.getBackend() === 'tensorflow') behind.set(tensor, values);
  return tensor;
}

const ALIGNED_BYTES = 64;
/** The head that glibc puts before a large piece of memory, which begins at a page. */
const MALLOC_HEAD_BYTES = 16;

/**
 * Room for values that TensorFlow can use where it lies: it copies what does not begin at a multiple of 64 bytes.
 * Where another allocator is at work it may still copy, which costs memory and time, and no correctness.
 */
function alignedFloats(count: number): Float32Array {
  const reused = spare.get(count)?.pop();
  if (reused) return reused;
  const buffer = new ArrayBuffer(4 * count + ALIGNED_BYTES);
  return new Float32Array(buffer, ALIGNED_BYTES - MALLOC_HEAD_BYTES, count);
}

/** Buffers by the number of their values: fresh memory for each tensor takes longer than reading it (measured). */
const spare = new Map<number, Float32Array[]>();
const MOST_SPARE = 4;
/** What lies behind a tensor that is there as a whole. */
const behind = new WeakMap<tf.Tensor, Float32Array>();

/**
 * Disposes a tensor of `loadTensor` of which nothing is in use any more, not even a view; its memory may go to the
 * next one.
 */
export function releaseTensor(tensor: tf.Tensor): void {
  tensor.dispose();
  const values = behind.get(tensor);
  if (!values) return;
  const list = spare.get(values.length) ?? [];
  if (list.length < MOST_SPARE) list.push(values);
  spare.set(values.length, list);
}

async function loadWasm(
  stored: AnyTensor,
  shape: number[],
  wanted: { start: number; count: number },
): Promise<tf.Tensor> {
  const backend = tf.backend() as BackendWasm;
  const info = backend.makeOutput(shape, 'float32');
  const tensor = tf.engine().makeTensorFromTensorInfo(info);
  try {
    const full = 'wasm memory: expected room for a tensor, got none; --memory-budget makes it take less';
    must(backend.getMemoryOffset(info.dataId) !== 0, 'BACKEND', full);
    // A view is good until the memory grows, so each piece gets its own.
    const room = (at: number, count: number) =>
      (backend.typedArrayFromHeap(info) as Float32Array).subarray(at, at + count);
    await readFloats(stored, { ...wanted, room });
    return tensor;
  } catch (error) {
    tensor.dispose();
    throw error;
  }
}
