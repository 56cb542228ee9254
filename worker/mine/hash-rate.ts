import { type Grinder, HEADER_BYTES, NONCE_SPACE } from '#worker/mine/grinder.ts';

/** Long enough for every thread to be under way, short enough that a start need not wait. */
const MEASURE_MS = 300;

/** Hashes per second of all threads, on a target that nothing meets. */
export async function hashRate(grinder: Grinder): Promise<number> {
  const job = { header: new Uint8Array(HEADER_BYTES), target: 0n, start: 0n, count: NONCE_SPACE };
  const { hashes, ms } = await grinder.grind(job, AbortSignal.timeout(MEASURE_MS));
  return ms > 0 ? (Number(hashes) * 1000) / ms : 0;
}
