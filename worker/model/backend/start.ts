import type { WantedBackend } from '#shared/env.ts';
import { PoolError } from '#shared/errors/pool-error.ts';
import { type Device, firstLine } from '#worker/model/backend/device.ts';

export type BackendName = Exclude<WantedBackend, 'auto'>;

/** Each is loaded when it is asked for: native code of one must not disturb another. */
const START: Readonly<Record<BackendName, (adapter?: string) => Promise<Device>>> = {
  tensorflow: async () => (await import('#worker/model/backend/tensorflow.ts')).startTensorflow(),
  webgpu: async (adapter) => (await import('#worker/model/backend/webgpu.ts')).startWebgpu(adapter),
  wasm: async () => (await import('#worker/model/backend/wasm.ts')).startWasm(),
};

/**
 * Starts the compute backend of this process; of several GPUs WebGPU takes the one of the name `adapter`. Throws
 * BACKEND where it cannot be had.
 */
export async function startBackend(name: BackendName, adapter?: string): Promise<Device> {
  try {
    return await START[name](adapter);
  } catch (cause) {
    if (cause instanceof PoolError) throw cause;
    throw new PoolError('BACKEND', `backend ${name}: ${firstLine(cause)}`, {}, { cause });
  }
}
