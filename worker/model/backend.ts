import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import util from 'node:util';
import * as tf from '@tensorflow/tfjs';
import { setWasmPaths } from '@tensorflow/tfjs-backend-wasm';
import { PoolError } from '#shared/errors/pool-error.ts';
import { installWasmKernels } from '#worker/model/kernels/wasm.ts';

export type BackendName = 'wasm' | 'tensorflow';
export interface StartedBackend {
  readonly name: BackendName;
  /** What a person should know about the choice, such as why the faster backend is absent. */
  readonly notes: string[];
}

/**
 * Starts the compute backend of this process. `auto` takes TensorFlow's native library where its optional
 * package works, else WebAssembly, and notes why. A forced backend that cannot be had throws BACKEND.
 */
export async function startBackend(wanted: 'auto' | BackendName): Promise<StartedBackend> {
  const notes: string[] = [];
  if (wanted !== 'wasm') {
    try {
      await startTensorflow();
      return { name: 'tensorflow', notes };
    } catch (cause) {
      const missing = (cause as { code?: unknown }).code === 'ERR_MODULE_NOT_FOUND';
      const why = missing ? 'is not installed' : `does not load (${firstLine(cause)})`;
      if (wanted === 'tensorflow') {
        throw new PoolError('BACKEND', `backend tensorflow: @tensorflow/tfjs-node-gpu ${why}`, {}, { cause });
      }
      notes.push(`native TensorFlow (@tensorflow/tfjs-node-gpu) ${why}: computing on WebAssembly`);
    }
  }
  await startWasm();
  return { name: 'wasm', notes };
}

async function startTensorflow(): Promise<void> {
  restoreIsNullOrUndefined();
  // Optional: a variable keeps the compiler from asking for a package that may not be installed.
  const name = '@tensorflow/tfjs-node-gpu';
  await import(name);
  if (!(await tf.setBackend('tensorflow'))) throw new Error('the package loaded, its backend did not start');
}

async function startWasm(): Promise<void> {
  const main = createRequire(import.meta.url).resolve('@tensorflow/tfjs-backend-wasm');
  setWasmPaths(join(dirname(main), '/'));
  let ok = false;
  let cause: unknown;
  try {
    ok = await tf.setBackend('wasm');
    if (ok) await installWasmKernels();
  } catch (error) {
    if (error instanceof PoolError) throw error;
    cause = error;
    ok = false;
  }
  if (!ok)
    throw new PoolError(
      'BACKEND',
      `backend wasm: expected it to start, got: ${firstLine(cause)}`,
      {},
      { cause },
    );
}

/** Node 23 removed this function, and @tensorflow/tfjs-node-gpu 4.22 still calls it. */
function restoreIsNullOrUndefined(): void {
  const legacy = util as { isNullOrUndefined?: (value: unknown) => boolean };
  legacy.isNullOrUndefined ??= (value) => value === null || value === undefined;
}

function firstLine(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error ?? 'no reason given');
  return text.split('\n', 1)[0] ?? '';
}
