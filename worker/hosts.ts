import { join } from 'node:path';
import { type ComputeDevice, deviceEnvironment } from '#worker/devices.ts';
import type { Log } from '#worker/log.ts';
import { adapterOf, type BackendChoice } from '#worker/model/backend/choose.ts';
import { ProcessHost } from '#worker/process/host.ts';
import type { ChildSetting } from '#worker/process/setting.ts';

/** Some hundred versions of a small model, or one of a large one. */
const CACHE_BYTES = 8 * 2 ** 30;
const EVALUATIONS_PER_PROCESS = 500;
const CHATS_PER_PROCESS = 2_000;
/** WebAssembly alone may take 4 GiB. */
const LEAST_PROCESS_BYTES = 4 * 2 ** 30;

/** A device with the backend that is the fastest right one on it. */
export interface Seat {
  /** Undefined where the backend takes what it finds. */
  readonly device: ComputeDevice | undefined;
  readonly backend: BackendChoice;
}

export interface HostsOptions {
  readonly coordinators: readonly string[];
  readonly dataDir: string;
  readonly memoryBudgetBytes?: number | undefined;
  /** Evaluation processes on each device. */
  readonly evaluators: number;
  /** Of the machine. */
  readonly memoryBytes: number;
}

/** One process for each evaluation that can run at once, on each device. They start with their first request. */
export function evaluationHosts(seats: readonly Seat[], options: HostsOptions, log: Log): ProcessHost[] {
  return seats.flatMap((seat) =>
    Array.from({ length: options.evaluators }, () => {
      const entry = new URL('./evaluate/process.ts', import.meta.url);
      const requestsPerChild = EVALUATIONS_PER_PROCESS;
      const kind = { entry, requestsPerChild, crashCode: 'EVALUATION_CRASHED' as const };
      return new ProcessHost({ ...kind, ...place(seat, options) }, log);
    }),
  );
}

/** The chat process; several answers share it. */
export function chatHost(seat: Seat, options: HostsOptions, log: Log): ProcessHost {
  const entry = new URL('./chat/process.ts', import.meta.url);
  const kind = { entry, requestsPerChild: CHATS_PER_PROCESS, crashCode: 'UNAVAILABLE' as const };
  return new ProcessHost({ ...kind, ...place(seat, options) }, log);
}

function place({ device, backend }: Seat, options: HostsOptions) {
  const { coordinators, dataDir, memoryBudgetBytes, memoryBytes } = options;
  const setting: ChildSetting = {
    coordinators,
    adapter: adapterOf(device),
    backend: backend.name,
    cacheDir: join(dataDir, 'worker', 'cache'),
    cacheBytes: CACHE_BYTES,
    memoryBudgetBytes,
  };
  // Evaluation and chat may fill the machine together, neither may alone.
  const memoryLimitBytes = Math.max(LEAST_PROCESS_BYTES, memoryBytes / 2);
  return { setting, env: deviceEnvironment(device), memoryLimitBytes };
}
