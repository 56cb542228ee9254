import type { Capabilities } from '#shared/protocol/capabilities.ts';
import type { Grinder } from '#worker/mine/grinder.ts';
import { hashRate } from '#worker/mine/hash-rate.ts';
import type { BackendReport } from '#worker/model/backend/self-test.ts';

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
