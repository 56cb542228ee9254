import type { Tensor, Tensor2D } from '@tensorflow/tfjs';
import * as tf from '@tensorflow/tfjs';
import type { BackendWasm } from '@tensorflow/tfjs-backend-wasm';
import type { Assembly, WasmMemory } from '#worker/model/kernels/wasm-kernels.ts';

/* Kernels that take the place of TensorFlow.js's own on wasm, since those copy more than they need. */

type Kernel = tf.KernelFunc;

const originals = new Map<string, Kernel>();

export function registerOverrides(asm: Assembly, memory: WasmMemory): void {
  override('Identity', sharedClone);
  override('SplitV', (theirs) => splitByColumn(theirs, asm, memory));
}

/** Registers what `make` makes of TensorFlow.js's kernel; a second time, of the same one again. */
function override(kernelName: string, make: (theirs: Kernel) => Kernel): void {
  const theirs = originals.get(kernelName) ?? tf.getKernel(kernelName, 'wasm').kernelFunc;
  originals.set(kernelName, theirs);
  tf.unregisterKernel(kernelName, 'wasm');
  tf.registerKernel({ kernelName, backendName: 'wasm', kernelFunc: make(theirs) });
}

/**
 * A clone that shares the values, as on the other backends: theirs copies them, with every weight and activation that
 * is kept for a gradient. Whoever writes into a tensor must know of no clone of it.
 */
function sharedClone(theirs: Kernel): Kernel {
  return (call) => {
    const { dataId, shape, dtype } = call.inputs.x as Tensor;
    if (dtype === 'string') return theirs(call);
    (call.backend as BackendWasm).incRef(dataId);
    return { dataId, shape, dtype };
  };
}

/** Parts the columns of a matrix by one copy of each; theirs copies the whole once more for every part. */
function splitByColumn(theirs: Kernel, asm: Assembly, { at, empty }: WasmMemory): Kernel {
  return (call) => {
    const x = call.inputs.x as Tensor;
    const { numOrSizeSplits, axis } = call.attrs as unknown as {
      numOrSizeSplits: number | number[];
      axis: number;
    };
    const byColumn = x.shape.length === 2 && x.dtype === 'float32' && (axis === 1 || axis === -1);
    if (!byColumn) return theirs(call);
    const [rows, width] = x.shape as [number, number];
    let start = 0;
    return tf.backend_util.prepareSplitSize(x, numOrSizeSplits, 1).map((columns) => {
      const part = empty<Tensor2D>([rows, columns]);
      asm.copyColumns(at(x), rows, width, start, columns, at(part));
      start += columns;
      return part;
    });
  };
}
