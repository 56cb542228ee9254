import { must, PoolError } from '#shared/errors/pool-error.ts';
import { MAX_TARGET, meetsTarget } from '#shared/pow/target.ts';
import type { Log } from '#worker/log.ts';
import { type GpuDevice, MOST_NONCES } from '#worker/mine/gpu-search.ts';
import { type Grinder, type GrindJob, HEADER_BYTES } from '#worker/mine/grinder.ts';
import { lowestNonce } from '#worker/mine/js-grinder.ts';
import { nonceHash } from '#worker/mine/nonce-hash.ts';
import { type Searcher, SlicedGrinder } from '#worker/mine/sliced-grinder.ts';
import { ProcessHost } from '#worker/process/host.ts';

export interface WebgpuGrinderOptions {
  /** Software GPUs are for tests: the WebAssembly grinder is faster on the same processor. */
  readonly allowSoftware: boolean;
}

const SLICE_MS = 20;
const FIRST_SLICE = 1n << 14n;
const LEAST_SLICE = 1n << 10n;
/** A driver may take long to start and to compile the shader the first time. */
const START_DEADLINE_MS = 60_000;
/** A slice takes some 20 ms: a GPU that needs so long has hung. */
const SLICE_DEADLINE_MS = 10_000;
const MEMORY_LIMIT_BYTES = 2 * 2 ** 30;
/** About one hash in a thousand meets it, so that both ends of the comparison are seen. */
const TESTED: GrindJob = {
  header: Uint8Array.from({ length: HEADER_BYTES }, (_, i) => (i * 37 + 11) & 0xff),
  target: MAX_TARGET >> 10n,
  start: (5n << 32n) - 900n,
  count: 4096n,
};

/**
 * Starts a grinder on the GPU, in a process of its own, and tests it. Throws BACKEND where there is no GPU, or
 * one that hashes wrongly. A process that died is started again by the next job.
 */
export async function createWebgpuGrinder(
  { allowSoftware }: WebgpuGrinderOptions,
  log: Log,
): Promise<Grinder> {
  const searcher = new WebgpuSearcher(log);
  try {
    const device = await searcher.describe();
    must(
      allowSoftware || !device.software,
      'BACKEND',
      () => `hashing on WebGPU: ${device.name} is no real GPU`,
    );
    await searcher.test();
    return new SlicedGrinder(searcher);
  } catch (error) {
    await searcher.close();
    throw error;
  }
}

class WebgpuSearcher implements Searcher {
  readonly threads = 1;
  readonly device = 'gpu';
  readonly #host: ProcessHost;
  #slice = FIRST_SLICE;

  constructor(log: Log) {
    const entry = new URL('./process.ts', import.meta.url);
    this.#host = new ProcessHost(
      {
        entry,
        setting: {},
        memoryLimitBytes: MEMORY_LIMIT_BYTES,
        crashCode: 'BACKEND',
        requestsPerChild: Number.POSITIVE_INFINITY,
      },
      log,
    );
  }

  slice(): bigint {
    return this.#slice;
  }

  async describe(): Promise<GpuDevice> {
    return (await this.#ask(null, START_DEADLINE_MS)) as GpuDevice;
  }

  async test(): Promise<void> {
    const [found, expected] = [(await this.search(TESTED)).nonce, lowestNonce(TESTED)];
    must(found === expected, 'BACKEND', () => `hashing on WebGPU: expected nonce ${expected}, got ${found}`);
  }

  async search(job: GrindJob): Promise<{ nonce: bigint | null; hashes: bigint }> {
    const began = performance.now();
    const nonce = (await this.#ask(job, SLICE_DEADLINE_MS)) as bigint | null;
    this.#adapt(job.count, performance.now() - began);
    if (nonce !== null) confirm(job, nonce);
    return { nonce, hashes: job.count };
  }

  close(): Promise<void> {
    return this.#host.close();
  }

  async #ask(request: GrindJob | null, deadlineMs: number): Promise<unknown> {
    const signal = new AbortController().signal; // a slice ends soon by itself
    return this.#host.request({ request, deadlineMs, signal });
  }

  #adapt(count: bigint, ms: number): void {
    if (count !== this.#slice) return; // the rest of a range says little
    if (ms < SLICE_MS / 2 && this.#slice < MOST_NONCES) this.#slice *= 2n;
    if (ms > SLICE_MS * 2 && this.#slice > LEAST_SLICE) this.#slice /= 2n;
  }
}

/** What a GPU says is believed only after node:crypto. */
function confirm({ header, target, start, count }: GrindJob, nonce: bigint): void {
  const right = nonce >= start && nonce < start + count && meetsTarget(nonceHash(header, nonce), target);
  if (!right) throw new PoolError('BACKEND', `hashing on WebGPU: nonce ${nonce} does not meet the target`);
}
