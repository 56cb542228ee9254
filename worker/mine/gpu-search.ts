import { setTimeout as sleep } from 'node:timers/promises';
import { PoolError } from '#shared/errors/pool-error.ts';
import type { GrindJob } from '#worker/mine/grinder.ts';
import { JOB, NOT_FOUND, SEARCH_SHADER, WORKGROUP } from '#worker/mine/search-shader.ts';

/* The parts of WebGPU that are used here: the compiler's types have them for browsers only. */
interface Gpu {
  requestAdapter(options: object): Promise<Adapter | null>;
}
interface Adapter {
  readonly info: Readonly<Record<'vendor' | 'architecture' | 'device' | 'description', string>>;
  requestDevice(): Promise<Device>;
}
interface Device {
  readonly queue: {
    writeBuffer(buffer: object, offset: number, data: Uint32Array): void;
    submit(commands: readonly object[]): void;
  };
  createBuffer(of: { size: number; usage: number }): Buffer;
  createShaderModule(of: { code: string }): object;
  createComputePipelineAsync(of: object): Promise<object>;
  createBindGroupLayout(of: object): object;
  createPipelineLayout(of: object): object;
  createBindGroup(of: object): object;
  createCommandEncoder(): Encoder;
}
interface Buffer {
  mapAsync(mode: number): Promise<void>;
  getMappedRange(): ArrayBuffer;
  unmap(): void;
}
interface Encoder {
  beginComputePass(): Pass;
  copyBufferToBuffer(from: object, at: number, to: object, toAt: number, size: number): void;
  finish(): object;
}
interface Pass {
  setBindGroup(index: number, group: object): void;
  setPipeline(pipeline: object): void;
  dispatchWorkgroups(x: number): void;
  end(): void;
}

/** The numbers behind the names of WebGPU (GPUBufferUsage, GPUShaderStage, GPUMapMode). */
const USAGE = { mapRead: 1, copySource: 4, copyTarget: 8, storage: 128 } as const;
const STAGE_COMPUTE = 4;
const MAP_READ = 1;
const SOFTWARE = /swiftshader|llvmpipe|lavapipe|software/i;
/** 2^20 invocations fill every GPU; more nonces than that are turns of the same ones. */
const MOST_WORKGROUPS = 4096;
/** Offsets are 32-bit, and a turn beyond the last nonce must not wrap. */
export const MOST_NONCES: bigint = 1n << 31n;

/** Timers are no more exact than this. */
const LEAST_SLEEP_MS = 4;

/** Kept: the GPU is given back when nothing refers to it any more. */
let gpu: Gpu | undefined;

export interface GpuDevice {
  readonly name: string;
  readonly software: boolean;
}

/** Searches ranges of at most MOST_NONCES on the GPU of this process. */
export class GpuSearch {
  readonly device: GpuDevice;
  readonly #gpu: Device;
  readonly #prepare: object;
  readonly #search: object;
  readonly #group: object;
  readonly #job: Buffer;
  readonly #best: Buffer;
  readonly #answer: Buffer;
  /** Nonces of the last call, and how long they took. */
  #last = { count: 0n, ms: 0 };

  private constructor(device: GpuDevice, gpu: Device, { prepare, search, layout }: Compiled) {
    this.device = device;
    this.#gpu = gpu;
    this.#prepare = prepare;
    this.#search = search;
    this.#job = gpu.createBuffer({ size: JOB.words * 4, usage: USAGE.storage | USAGE.copyTarget });
    const midstate = gpu.createBuffer({ size: 32, usage: USAGE.storage });
    this.#best = gpu.createBuffer({ size: 4, usage: USAGE.storage | USAGE.copySource });
    this.#answer = gpu.createBuffer({ size: 4, usage: USAGE.mapRead | USAGE.copyTarget });
    const buffers = [this.#job, midstate, this.#best];
    const entries = buffers.map((buffer, binding) => ({ binding, resource: { buffer } }));
    this.#group = gpu.createBindGroup({ layout, entries });
  }

  /** Throws where there is no GPU with a driver. Once in a process: Dawn does not survive a second instance. */
  static async start(): Promise<GpuSearch> {
    // Optional: a variable keeps the compiler from asking for a package that may not be installed.
    const name = 'webgpu';
    const { create } = (await import(name)) as { create(flags: readonly string[]): Gpu };
    gpu = create([]);
    const adapter = await gpu.requestAdapter({ powerPreference: 'high-performance' });
    if (adapter === null)
      throw new PoolError('BACKEND', 'no GPU with a driver for Vulkan, Metal or D3D12 was found');
    const { description, device, architecture, vendor } = adapter.info;
    const parts = [device, description, architecture, vendor];
    const found = {
      name: parts.find((part) => part !== '' && !part.startsWith('0x')) ?? 'a GPU',
      software: parts.some((part) => SOFTWARE.test(part)),
    };
    const opened = await adapter.requestDevice();
    return new GpuSearch(found, opened, await compile(opened));
  }

  /** The lowest nonce of the range that meets the target, or null. One call at a time. */
  async lowest(job: GrindJob): Promise<bigint | null> {
    const groups = Math.min(MOST_WORKGROUPS, Math.ceil(Number(job.count) / WORKGROUP));
    if (groups === 0) return null;
    const began = performance.now();
    this.#gpu.queue.writeBuffer(this.#job, 0, jobWords(job));
    this.#gpu.queue.submit([this.#commands(groups)]);
    const offset = await this.#read(job.count === this.#last.count ? this.#last.ms : 0);
    this.#last = { count: job.count, ms: performance.now() - began };
    return offset === NOT_FOUND ? null : job.start + BigInt(offset);
  }

  #commands(groups: number): object {
    const encoder = this.#gpu.createCommandEncoder();
    const pass = encoder.beginComputePass();
    pass.setBindGroup(0, this.#group);
    pass.setPipeline(this.#prepare);
    pass.dispatchWorkgroups(1);
    pass.setPipeline(this.#search);
    pass.dispatchWorkgroups(groups);
    pass.end();
    encoder.copyBufferToBuffer(this.#best, 0, this.#answer, 0, 4);
    return encoder.finish();
  }

  async #read(expectedMs: number): Promise<number> {
    // Dawn looks for the answer without a pause, at the cost of a core: ask when it is nearly there.
    if (expectedMs > LEAST_SLEEP_MS) await sleep(expectedMs * 0.75);
    await this.#answer.mapAsync(MAP_READ);
    const [offset] = new Uint32Array(this.#answer.getMappedRange());
    this.#answer.unmap();
    return offset ?? NOT_FOUND;
  }
}

interface Compiled {
  readonly prepare: object;
  readonly search: object;
  readonly layout: object;
}

async function compile(gpu: Device): Promise<Compiled> {
  const types = ['read-only-storage', 'storage', 'storage'];
  const entries = types.map((type, binding) => ({ binding, visibility: STAGE_COMPUTE, buffer: { type } }));
  const layout = gpu.createBindGroupLayout({ entries });
  const module = gpu.createShaderModule({ code: SEARCH_SHADER });
  const pipeline = (entryPoint: string) =>
    gpu.createComputePipelineAsync({
      layout: gpu.createPipelineLayout({ bindGroupLayouts: [layout] }),
      compute: { module, entryPoint },
    });
  const [prepare, search] = await Promise.all([pipeline('prepare'), pipeline('search')]);
  return { prepare, search, layout };
}

function jobWords({ header, target, start, count }: GrindJob): Uint32Array {
  const words = new Uint32Array(JOB.words);
  const view = new DataView(header.buffer, header.byteOffset);
  for (let i = 0; i < JOB.target; i++) words[i] = view.getUint32(4 * i);
  for (let i = 0; i < 8; i++) words[JOB.target + i] = Number((target >> BigInt(224 - 32 * i)) & 0xffff_ffffn);
  words[JOB.nonceHigh] = Number(start >> 32n);
  words[JOB.nonceLow] = Number(start & 0xffff_ffffn);
  words[JOB.count] = Number(count);
  return words;
}
