import type { Tensor, Tensor2D } from '@tensorflow/tfjs';
import * as tf from '@tensorflow/tfjs';
import type { Assembly, WasmMemory } from '#worker/model/kernels/wasm-kernels.ts';

const SPLIT = 'SplitV';

let theirs: tf.KernelConfig | undefined;

/**
 * Takes the place of TensorFlow.js's kernel of `tf.split` on wasm, which copies the whole tensor once more for
 * every part. Ours parts the columns of a matrix; anything else is still theirs.
 */
export function registerSplit(asm: Assembly, { at, empty }: WasmMemory): void {
  theirs ??= tf.getKernel(SPLIT, 'wasm');
  const { kernelFunc } = theirs;
  tf.unregisterKernel(SPLIT, 'wasm');
  tf.registerKernel({
    kernelName: SPLIT,
    backendName: 'wasm',
    kernelFunc(call) {
      const x = call.inputs.x as Tensor;
      const { numOrSizeSplits, axis } = call.attrs as unknown as {
        numOrSizeSplits: number | number[];
        axis: number;
      };
      const byColumn = x.shape.length === 2 && x.dtype === 'float32' && (axis === 1 || axis === -1);
      if (!byColumn) return kernelFunc(call);
      const [rows, width] = x.shape as [number, number];
      let start = 0;
      return tf.backend_util.prepareSplitSize(x, numOrSizeSplits, 1).map((columns) => {
        const part = empty<Tensor2D>([rows, columns]);
        asm.copyColumns(at(x), rows, width, start, columns, at(part));
        start += columns;
        return part;
      });
    },
  });
}
