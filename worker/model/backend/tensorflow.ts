import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { cpus, totalmem } from 'node:os';
import { fileURLToPath } from 'node:url';
import util from 'node:util';
import * as tf from '@tensorflow/tfjs';
import { setTensorflowDefaults } from '#worker/env.ts';
import { askNvidia, type Device, firstLine } from '#worker/model/backend/device.ts';
import { installTensorflowKernels } from '#worker/model/kernels/tensorflow.ts';

/** Where `npm run setup:tensorflow` builds. */
const BUILD = new URL('../../../.tensorflow/build/', import.meta.url);
/** Each registers the backend, in the order in which they are tried. The packages are optional. */
const SOURCES: readonly { name: string; load: () => Promise<unknown> }[] = [
  { name: 'the build of npm run setup:tensorflow', load: loadBuild },
  ...['@tensorflow/tfjs-node-gpu', '@tensorflow/tfjs-node'].map((name) => ({
    name,
    load: () => import(name),
  })),
];

/** The part of the addon that is used beyond its own package. */
interface Addon {
  readonly TF_Version: string;
  isUsingGpuDevice(): boolean;
}
/** The package's backend: an executor of any TensorFlow operation by its name. */
interface NodeBackend {
  readonly binding: Addon;
}

/**
 * TensorFlow's native library on CUDA or the processor: our own build where there is one, else a package that
 * was installed with its binary. Throws with the reason of each that does not load.
 */
export async function startTensorflow(): Promise<Device> {
  if (!tf.findBackendFactory('tensorflow')) await load();
  if (!(await tf.setBackend('tensorflow'))) throw new Error('the package loaded, its backend did not start');
  installTensorflowKernels();
  return describe((tf.backend() as unknown as NodeBackend).binding);
}

async function load(): Promise<void> {
  setTensorflowDefaults();
  restoreIsNullOrUndefined();
  const reasons: string[] = [];
  for (const { name, load } of SOURCES) {
    try {
      await load();
      return;
    } catch (error) {
      const code = (error as { code?: unknown }).code;
      const missing = code === 'ERR_MODULE_NOT_FOUND' || code === 'ENOENT';
      if (!missing) reasons.push(`${name} does not load (${firstLine(error)})`);
    }
  }
  throw new Error(reasons.join('; ') || 'it is not set up here (npm run setup:tensorflow)');
}

/**
 * The package's two modules without its main file, which would look for a binary of its own. They find this
 * project's TensorFlow.js in the folders above them.
 */
async function loadBuild(): Promise<void> {
  await readFile(new URL('made.json', BUILD));
  const require = createRequire(BUILD);
  const modules = './node_modules/@tensorflow/tfjs-node/dist';
  require(`${modules}/register_all_kernels.js`);
  const { NodeJSKernelBackend } = require(`${modules}/nodejs_kernel_backend.js`);
  const addon = require(fileURLToPath(new URL('tfjs_binding.node', BUILD)));
  tf.registerBackend('tensorflow', () => new NodeJSKernelBackend(addon, '@tensorflow/tfjs-node'));
}

/** Node 23 removed this function, and the packages of 4.22 still call it. */
function restoreIsNullOrUndefined(): void {
  const legacy = util as { isNullOrUndefined?: (value: unknown) => boolean };
  legacy.isNullOrUndefined ??= (value) => value === null || value === undefined;
}

async function describe(addon: Addon): Promise<Device> {
  const gpu = addon.isUsingGpuDevice() ? await askNvidia() : undefined;
  const processor = { name: cpus()[0]?.model.trim() ?? 'this processor', memoryBytes: totalmem() };
  const { name, memoryBytes } = gpu ?? processor;
  return { name: `libtensorflow ${addon.TF_Version} on ${name}`, memoryBytes, software: false };
}
