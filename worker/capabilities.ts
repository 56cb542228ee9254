import type { Capabilities } from '#shared/protocol/capabilities.ts';
import { type Grinder, HEADER_BYTES, NONCE_SPACE } from '#worker/mine/grinder.ts';
import type { BackendReport } from '#worker/model/backend/self-test.ts';

/** Long enough for every thread to be under way, short enough that a start need not wait. */
const MEASURE_MS = 300;

export interface Machine {
  readonly cores: number;
  readonly memoryBytes: number;
  /** Version of Node.js. */
  readonly node: string;
}

/** What this machine told about itself and showed in its self-tests, as the pool is told it. PROTOCOL §11. */
export async function capabilitiesOf(
  machine: Machine,
  backends: readonly BackendReport[],
  grinder: Grinder | undefined,
): Promise<Capabilities> {
  return {
    ...machine,
    backends: backends.map(({ name, device, gflops, memoryBytes }) => ({
      name,
      device: device.slice(0, 200),
      gflops: Math.round(gflops * 100) / 100,
      ...(memoryBytes !== undefined && { memoryBytes: Math.round(memoryBytes) }),
    })),
    hashesPerSecond: grinder ? Math.round(await hashRate(grinder)) : 0,
  };
}

/** All threads on a target that nothing meets. */
async function hashRate(grinder: Grinder): Promise<number> {
  const job = { header: new Uint8Array(HEADER_BYTES), target: 0n, start: 0n, count: NONCE_SPACE };
  const { hashes, ms } = await grinder.grind(job, AbortSignal.timeout(MEASURE_MS));
  return ms > 0 ? (Number(hashes) * 1000) / ms : 0;
}
