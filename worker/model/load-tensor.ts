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
  const values = new Float32Array(wanted.count);
  await readFloats(stored, {
    ...wanted,
    fixed: true,
    room: (at, count) => values.subarray(at, at + count),
  });
  return tf.tensor(values, wantedShape, 'float32');
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
