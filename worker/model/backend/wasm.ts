import { createRequire } from 'node:module';
import { cpus, totalmem } from 'node:os';
import { dirname, join } from 'node:path';
import * as tf from '@tensorflow/tfjs';
import { setWasmPaths } from '@tensorflow/tfjs-backend-wasm';
import type { Device } from '#worker/model/backend/device.ts';
import { installWasmKernels } from '#worker/model/kernels/wasm.ts';

/** WebAssembly memory is addressed by 32 bits. */
const WASM_BYTES = 4 * 2 ** 30;

/** WebAssembly with our kernels: everywhere, on one thread. */
export async function startWasm(): Promise<Device> {
  const main = createRequire(import.meta.url).resolve('@tensorflow/tfjs-backend-wasm');
  setWasmPaths(join(dirname(main), '/'));
  if (!(await tf.setBackend('wasm'))) throw new Error('the package loaded, its backend did not start');
  await installWasmKernels();
  return {
    name: `WebAssembly on ${cpus()[0]?.model.trim() ?? 'this processor'}`,
    memoryBytes: Math.min(WASM_BYTES, totalmem()),
    software: false,
  };
}
