import { createHash } from 'node:crypto';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { meetsTarget } from '#shared/pow/target.ts';
import {
  checkJob,
  type Grinder,
  type GrindJob,
  type GrindResult,
  NONCE_OFFSET,
} from '#worker/mine/grinder.ts';
import { Turns } from '#worker/mine/turns.ts';

/** About 5 ms of hashing between two looks at the signal. */
const SLICE = 2048n;

/**
 * The plain grinder: `node:crypto` on one thread, the caller's. It is the reference for the others and the
 * fallback where WebAssembly SIMD is missing.
 */
export function createJsGrinder(): Grinder {
  return new JsGrinder();
}

class JsGrinder implements Grinder {
  readonly threads = 1;
  #closed = false;
  #paused = false;
  #wake: () => void = () => {};
  readonly #turns = new Turns();

  async grind(job: GrindJob, signal: AbortSignal): Promise<GrindResult> {
    checkJob(job);
    const began = performance.now();
    return this.#turns.run(signal, async () => {
      const found = await this.#run(job, signal);
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
  }

  async #run(job: GrindJob, signal: AbortSignal): Promise<Omit<GrindResult, 'ms'>> {
    const header = Uint8Array.from(job.header);
    const end = job.start + job.count;
    let at = job.start;
    let nonce: bigint | null = null;
    while (at < end && nonce === null && (await this.#mayGoOn(signal))) {
      const stop = at + SLICE < end ? at + SLICE : end;
      nonce = firstNonce({ ...job, header }, at, stop);
      at = nonce === null ? stop : nonce + 1n;
      await nextTurn();
    }
    return { nonce, hashes: at - job.start };
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

function firstNonce({ header, target }: GrindJob, from: bigint, to: bigint): bigint | null {
  const view = new DataView(header.buffer, header.byteOffset);
  for (let nonce = from; nonce < to; nonce++) {
    view.setBigUint64(NONCE_OFFSET, nonce);
    if (meetsTarget(createHash('sha256').update(header).digest(), target)) return nonce;
  }
  return null;
}
