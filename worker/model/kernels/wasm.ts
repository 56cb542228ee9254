import { readFile } from 'node:fs/promises';
import v8 from 'node:v8';
import type { Tensor } from '@tensorflow/tfjs';
import * as tf from '@tensorflow/tfjs';
import type { BackendWasm } from '@tensorflow/tfjs-backend-wasm';
import { must, PoolError } from '#shared/errors/pool-error.ts';
import { useKernels } from '#worker/model/kernels/kernels.ts';
import { type Assembly, type WasmMemory, wasmKernels } from '#worker/model/kernels/wasm-kernels.ts';
import { registerOverrides } from '#worker/model/kernels/wasm-overrides.ts';

/** What is called of the WebAssembly API; the compiler's types have it for browsers only. */
interface WebAssemblyApi {
  validate(bytes: Uint8Array): boolean;
  instantiate(bytes: Uint8Array, imports: object): Promise<{ instance: { exports: object } }>;
}

/** What matters here of the wasm backend beyond its public types (checked with 4.22). */
interface BackendInside {
  readonly asm: { readonly memory: object; malloc(bytes: number): number };
  _malloc(bytes: number): number;
  _free(address: number): void;
}

/** The same kernels twice: with multiply-add as one instruction, as it is faster, and without. */
const FUSED_FILE = new URL('./kernels-fused.wasm', import.meta.url);
const PLAIN_FILE = new URL('./kernels.wasm', import.meta.url);
/** V8 of Node 20 has relaxed SIMD, and wants to be told to use it. Later ones do unasked. */
const RELAXED_SIMD_FLAG = '--experimental-wasm-relaxed-simd';
const CACHE_LINE_BYTES = 64;

/**
 * Links our kernels to the memory of the current wasm backend and makes them the ones in use.
 * Throws BACKEND where their file is missing or does not link.
 */
export async function installWasmKernels(): Promise<void> {
  const backend = tf.backend() as BackendWasm;
  const inside = backend.wasm as unknown as BackendInside;
  const { WebAssembly: api } = globalThis as unknown as { WebAssembly: WebAssemblyApi };
  try {
    const bytes = await chooseBuild(api);
    const { instance } = await api.instantiate(bytes, { env: { memory: inside.asm.memory } });
    const assembly = instance.exports as unknown as Assembly;
    refuseWhenFull(inside);
    const memory = memoryOf(backend, inside);
    useKernels('wasm', wasmKernels(assembly, memory));
    registerOverrides(assembly, memory);
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new PoolError(
      'BACKEND',
      `kernels: expected the files that \`npm run setup\` compiles, got: ${why}`,
      {},
      { cause },
    );
  }
}

async function chooseBuild(api: WebAssemblyApi): Promise<Uint8Array> {
  const fused = await readFile(FUSED_FILE);
  if (api.validate(fused)) return fused;
  v8.setFlagsFromString(RELAXED_SIMD_FLAG);
  return api.validate(fused) ? fused : readFile(PLAIN_FILE);
}

const guarded = new WeakSet<BackendInside>();

/** A full memory answers with address 0, and TensorFlow.js would go on and write there. Now it is an error, for all. */
function refuseWhenFull(inside: BackendInside): void {
  if (guarded.has(inside)) return;
  guarded.add(inside);
  // Not `inside._malloc`, which puts another in its own place when it is first called.
  const { malloc } = inside.asm;
  inside._malloc = (bytes) => {
    const address = malloc(bytes) >>> 0;
    must(address !== 0, 'BACKEND', () => `wasm memory (4 GiB at most): no room for ${bytes} bytes more`);
    return address;
  };
}

function memoryOf(backend: BackendWasm, inside: BackendInside): WasmMemory {
  let address = 0;
  let size = 0;
  return {
    at: (x) => backend.getMemoryOffset(x.dataId),
    empty<T extends Tensor>(shape: number[]): T {
      return tf.engine().makeTensorFromTensorInfo(backend.makeOutput(shape, 'float32')) as T;
    },
    scratch(bytes) {
      const needed = bytes + CACHE_LINE_BYTES;
      if (needed > size) {
        if (address !== 0) inside._free(address);
        [address, size] = [0, 0];
        address = inside._malloc(needed);
        size = needed;
      }
      return Math.ceil(address / CACHE_LINE_BYTES) * CACHE_LINE_BYTES;
    },
  };
}
