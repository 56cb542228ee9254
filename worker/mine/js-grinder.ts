import { createHash } from 'node:crypto';
import { meetsTarget } from '#shared/pow/target.ts';
import { type Grinder, type GrindJob, NONCE_OFFSET } from '#worker/mine/grinder.ts';
import { SlicedGrinder } from '#worker/mine/sliced-grinder.ts';

/** About 5 ms of hashing between two looks at the signal. */
const SLICE = 2048n;

/**
 * The plain grinder: `node:crypto` on one thread, the caller's. It is the reference for the others and the
 * fallback where WebAssembly SIMD is missing.
 */
export function createJsGrinder(): Grinder {
  return new SlicedGrinder({
    threads: 1,
    device: 'cpu',
    slice: () => SLICE,
    search: async (job) => {
      const nonce = lowestNonce(job);
      return { nonce, hashes: nonce === null ? job.count : nonce - job.start + 1n };
    },
    close: async () => {},
  });
}

/** The lowest nonce of the job by `node:crypto`, at once; null where there is none. */
export function lowestNonce({ header, target, start, count }: GrindJob): bigint | null {
  const bytes = Uint8Array.from(header);
  const view = new DataView(bytes.buffer);
  for (let nonce = start; nonce < start + count; nonce++) {
    view.setBigUint64(NONCE_OFFSET, nonce);
    if (meetsTarget(createHash('sha256').update(bytes).digest(), target)) return nonce;
  }
  return null;
}
