import * as tf from '@tensorflow/tfjs';
import { askNvidia, type Device } from '#worker/model/backend/device.ts';

/** The parts of WebGPU that are used here: the compiler's types have them for browsers only. */
interface Adapter {
  readonly info: {
    readonly vendor: string;
    readonly architecture: string;
    readonly device: string;
    readonly description: string;
    readonly isFallbackAdapter?: boolean;
  };
}
interface Gpu {
  requestAdapter(options: object): Promise<Adapter | null>;
}
interface Dawn {
  create(flags: readonly string[]): Gpu;
  readonly globals: object;
}

const SOFTWARE = /swiftshader|llvmpipe|lavapipe|software/i;

/** Once in a process: Dawn does not survive a second instance (std::system_error). */
let found: Device | undefined;

/** WebGPU through Dawn, on any GPU with a Vulkan, Metal or D3D12 driver. Throws where there is none. */
export async function startWebgpu(adapter?: string): Promise<Device> {
  found ??= await findGpu(adapter);
  if (!(await tf.setBackend('webgpu'))) throw new Error('the GPU was found, the backend did not start on it');
  return found;
}

async function findGpu(wanted: string | undefined): Promise<Device> {
  // Optional: a variable keeps the compiler from asking for a package that may not be installed.
  const name = 'webgpu';
  const { create, globals } = (await import(name)) as Dawn;
  const gpu = create(wanted === undefined ? [] : [`adapter=${wanted}`]);
  Object.assign(globalThis, globals);
  provideNavigator(gpu);
  const adapter = await gpu.requestAdapter({ powerPreference: 'high-performance' });
  if (adapter === null) throw new Error('no GPU with a driver for Vulkan, Metal or D3D12 was found');
  // Registers itself, if it finds a navigator with a GPU.
  await import('@tensorflow/tfjs-backend-webgpu');
  return describe(adapter);
}

/** Browsers have it, Node 20 has none, later ones have one that cannot be replaced but extended. */
function provideNavigator(gpu: Gpu): void {
  const present = (globalThis as { navigator?: object }).navigator;
  if (present) Object.defineProperty(present, 'gpu', { value: gpu, configurable: true });
  else
    Object.defineProperty(globalThis, 'navigator', { value: { gpu, userAgent: 'Node' }, configurable: true });
}

async function describe({ info }: Adapter): Promise<Device> {
  const parts = [info.description, info.device, info.architecture, info.vendor];
  const name = info.device && !/^0x/.test(info.device) ? info.device : (parts.find(Boolean) ?? 'a GPU');
  const software = info.isFallbackAdapter === true || parts.some((text) => SOFTWARE.test(text));
  const memoryBytes = info.vendor === 'nvidia' ? (await askNvidia()).memoryBytes : undefined;
  return { name: `WebGPU on ${name}`, memoryBytes, software };
}
