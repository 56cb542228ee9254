import { ApiClient } from '#worker/client/api-client.ts';
import { FailoverOrigin } from '#worker/client/failover-origin.ts';
import { PayloadCache } from '#worker/client/payload-cache.ts';
import type { BackendName } from '#worker/model/backend/start.ts';

/** What a computing process is told when it starts. */
export interface ChildSetting {
  /** Where payloads come from: the next where one does not answer. */
  readonly coordinators: readonly string[];
  /** Name of the GPU that WebGPU shall take. */
  readonly adapter?: string | undefined;
  /** Chosen and tested by the parent. */
  readonly backend: BackendName;
  readonly cacheDir: string;
  readonly cacheBytes: number;
  /** Weights in memory at most; where it is left out, what the backend can take. */
  readonly memoryBudgetBytes?: number | undefined;
}

export function openPayloads(setting: ChildSetting): Promise<PayloadCache> {
  const options = { dir: setting.cacheDir, maxBytes: setting.cacheBytes, now: Date.now };
  return PayloadCache.open(
    options,
    new FailoverOrigin(setting.coordinators.map((url) => new ApiClient(url))),
  );
}
