import { setImmediate as nextTurn } from 'node:timers/promises';
import { meetsTarget } from '#shared/pow/target.ts';
import {
  checkJob,
  type Grinder,
  type GrindJob,
  type GrindResult,
  type ShareSink,
} from '#worker/mine/grinder.ts';
import { nonceHash } from '#worker/mine/nonce-hash.ts';
import { Turns } from '#worker/mine/turns.ts';

/** What searches a piece of a range at a time. */
export interface Searcher {
  readonly threads: number;
  readonly device: 'cpu' | 'gpu';
  /** Nonces per piece, so that a piece takes some 20 ms: the time it takes to notice a pause or an abort. */
  slice(): bigint;
  /** The lowest nonce of a range that meets the target, or null, and how many hashes that took. */
  search(job: GrindJob): Promise<{ nonce: bigint | null; hashes: bigint }>;
  close(): Promise<void>;
}

/** A grinder over anything that can search a range in one go. */
export class SlicedGrinder implements Grinder {
  readonly threads: number;
  readonly device: 'cpu' | 'gpu';
  readonly #searcher: Searcher;
  readonly #turns = new Turns();
  #closed = false;
  #paused = false;
  #wake: () => void = () => {};

  constructor(searcher: Searcher) {
    this.#searcher = searcher;
    this.threads = searcher.threads;
    this.device = searcher.device;
  }

  async grind(job: GrindJob, signal: AbortSignal, shares?: ShareSink): Promise<GrindResult> {
    checkJob(job);
    const header = Uint8Array.from(job.header);
    const began = performance.now();
    return this.#turns.run(signal, async () => {
      const found = await this.#run({ ...job, header }, signal, shares);
      return { ...found, ms: performance.now() - began };
    });
  }

  pause(): void {
    this.#paused = true;
  }

  resume(): void {
    this.#paused = false;
    this.#wake();
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#wake();
    await this.#turns.idle();
    await this.#searcher.close();
  }

  async #run(
    job: GrindJob,
    signal: AbortSignal,
    shares: ShareSink | undefined,
  ): Promise<Omit<GrindResult, 'ms'>> {
    const end = job.start + job.count;
    const target = shares?.target ?? job.target;
    let hashes = 0n;
    for (let start = job.start; start < end && (await this.#mayGoOn(signal)); ) {
      const slice = this.#searcher.slice();
      const count = start + slice < end ? slice : end - start;
      const { nonce, hashes: computed } = await this.#searcher.search({ ...job, target, start, count });
      if (nonce === null) {
        hashes += computed;
        start += count;
        await nextTurn();
        continue;
      }
      shares?.found(nonce);
      const solved = !shares || meetsTarget(nonceHash(job.header, nonce), job.target);
      // What was computed behind a share is computed again.
      hashes += shares ? nonce - start + 1n : computed;
      if (solved) return { nonce, hashes };
      start = nonce + 1n;
    }
    return { nonce: null, hashes };
  }

  /** Waits while paused. False when the job is to end. */
  async #mayGoOn(signal: AbortSignal): Promise<boolean> {
    while (this.#paused && !this.#closed && !signal.aborted) await this.#change(signal);
    return !this.#closed && !signal.aborted;
  }

  #change(signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = () => {
        signal.removeEventListener('abort', this.#wake);
        resolve();
      };
      signal.addEventListener('abort', this.#wake, { once: true });
    });
  }
}
