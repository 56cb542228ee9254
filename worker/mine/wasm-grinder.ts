import { readFile } from 'node:fs/promises';
import { Worker } from 'node:worker_threads';
import { must, PoolError } from '#shared/errors/pool-error.ts';
import {
  checkJob,
  type Grinder,
  type GrindJob,
  type GrindResult,
  type ShareSink,
} from '#worker/mine/grinder.ts';
import { Turns } from '#worker/mine/turns.ts';

export interface WasmGrinderOptions {
  /** Hashing threads, 1 to 256: one per core that may be used. */
  readonly threads: number;
  /** At the lowest priority: it takes what nobody else on the machine wants. Linux only. */
  readonly background?: boolean;
}

const MODULE_URL = new URL('./grinder.wasm', import.meta.url);
const THREAD_URL = new URL('./grind-thread.mjs', import.meta.url);

/**
 * What the threads share: [0] flags and [1] unused, 32 bits each, then 64 bits each [1] the offset of the next
 * slice that nobody has claimed, [2] the lowest offset found. Offsets count from the job's start. Threads claim
 * slices themselves, so hashing goes on while the main thread is busy.
 */
const SHARED = {
  bytes: 24,
  flags: 0,
  next: 1,
  best: 2,
  paused: 1,
  cancelled: 2,
  none: 2n ** 64n - 1n,
} as const;

/** What a thread reports: ready, a share, or the hashes it computed for a job, which ends it. */
type Report = 'ready' | { readonly share: bigint } | bigint;

/**
 * Starts the WebAssembly SIMD grinder. Throws BACKEND where grinder.wasm was not built, or where this Node
 * cannot run it.
 */
export async function createWasmGrinder({
  threads,
  background = false,
}: WasmGrinderOptions): Promise<Grinder> {
  must(
    Number.isInteger(threads) && threads >= 1 && threads <= 256,
    'OPTION',
    () => `threads: expected 1 to 256, got ${threads}`,
  );
  const bytes = await readFile(MODULE_URL).catch((cause: unknown) => {
    throw new PoolError('BACKEND', 'grinder.wasm is missing: run `npm run setup`', {}, { cause });
  });
  const grinder = new WasmGrinder(bytes, { threads, background });
  await grinder.ready();
  return grinder;
}

class WasmGrinder implements Grinder {
  readonly threads: number;
  readonly device = 'cpu';
  readonly #workers: readonly Worker[];
  readonly #ready: Promise<unknown>;
  readonly #flags: Int32Array;
  readonly #offsets: BigUint64Array;
  readonly #turns = new Turns();
  #failure: PoolError | null = null;
  #closed = false;

  constructor(bytes: Uint8Array, { threads, background }: Required<WasmGrinderOptions>) {
    this.threads = threads;
    const shared = new SharedArrayBuffer(SHARED.bytes);
    this.#flags = new Int32Array(shared, 0, 1);
    this.#offsets = new BigUint64Array(shared);
    this.#workers = Array.from({ length: threads }, () =>
      this.#start({ bytes, shared, layout: SHARED, background }),
    );
    this.#ready = Promise.all(this.#workers.map((worker) => report(worker)));
  }

  async ready(): Promise<void> {
    try {
      await this.#ready;
    } catch (error) {
      await this.close();
      throw this.#failure ?? error;
    }
  }

  async grind(job: GrindJob, signal: AbortSignal, shares?: ShareSink): Promise<GrindResult> {
    checkJob(job);
    const began = performance.now();
    return this.#turns.run(signal, async () => {
      const ended = signal.aborted || this.#closed;
      const found = ended ? { nonce: null, hashes: 0n } : await this.#run(job, signal, shares);
      return { ...found, ms: performance.now() - began };
    });
  }

  pause(): void {
    Atomics.or(this.#flags, SHARED.flags, SHARED.paused);
  }

  resume(): void {
    Atomics.and(this.#flags, SHARED.flags, ~SHARED.paused);
    Atomics.notify(this.#flags, SHARED.flags);
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#cancel();
    await this.#turns.idle();
    await Promise.all(this.#workers.map((worker) => worker.terminate()));
  }

  #start(workerData: object): Worker {
    // No flags of ours for the thread: it is plain JavaScript, and the TypeScript loader would only cost time.
    const worker = new Worker(THREAD_URL, { execArgv: [], workerData });
    worker.on('error', (cause) => {
      this.#failure ??= new PoolError('BACKEND', `hashing thread: ${messageOf(cause)}`, {}, { cause });
    });
    return worker;
  }

  async #run(
    job: GrindJob,
    signal: AbortSignal,
    shares: ShareSink | undefined,
  ): Promise<Omit<GrindResult, 'ms'>> {
    if (this.#failure !== null) throw this.#failure;
    Atomics.and(this.#flags, SHARED.flags, ~SHARED.cancelled);
    Atomics.store(this.#offsets, SHARED.next, 0n);
    Atomics.store(this.#offsets, SHARED.best, SHARED.none);
    const cancel = (): void => this.#cancel();
    signal.addEventListener('abort', cancel, { once: true });
    try {
      const hashes = await Promise.all(this.#workers.map((worker) => this.#ask(worker, job, shares)));
      const best = Atomics.load(this.#offsets, SHARED.best);
      const found = best !== SHARED.none && !signal.aborted && !this.#closed;
      // Where both targets are one, the find is the only share.
      if (found && shares?.target === job.target) shares.found(job.start + best);
      return { nonce: found ? job.start + best : null, hashes: hashes.reduce((sum, n) => sum + n, 0n) };
    } catch (error) {
      this.#cancel();
      throw this.#failure ?? error;
    } finally {
      signal.removeEventListener('abort', cancel);
    }
  }

  async #ask(worker: Worker, job: GrindJob, shares: ShareSink | undefined): Promise<bigint> {
    const answer = report(worker, shares);
    worker.postMessage({ ...job, ...(shares && { shareTarget: shares.target }) });
    return (await answer) as bigint;
  }

  #cancel(): void {
    Atomics.or(this.#flags, SHARED.flags, SHARED.cancelled);
    Atomics.notify(this.#flags, SHARED.flags);
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** The thread's next message but shares, which go to their sink. Rejects with BACKEND when the thread ends instead. */
function report(worker: Worker, shares?: ShareSink): Promise<Report> {
  return new Promise((resolve, reject) => {
    const ended = (): void => reject(new PoolError('BACKEND', 'a hashing thread ended'));
    worker.once('exit', ended);
    const hear = (message: Report): void => {
      if (typeof message === 'object') return shares?.found(message.share);
      worker.off('exit', ended);
      worker.off('message', hear);
      resolve(message);
    };
    worker.on('message', hear);
  });
}
