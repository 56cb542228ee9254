import type { WorkerView } from '#shared/api/worker-schemas.ts';
import type { Capabilities, WorkerHealth } from '#shared/protocol/capabilities.ts';

/** What a machine can do, as the API shows it. */
export function capabilitiesView({
  backends,
  hashesPerSecond,
  memoryBytes,
  cores,
  node,
}: Capabilities): NonNullable<WorkerView['capabilities']> {
  return {
    backends: backends.map(({ name, device, gflops, memoryBytes: bytes }) => ({
      name,
      ...(device !== undefined && { device }),
      ...(gflops !== undefined && { gflops }),
      ...(bytes !== undefined && { memory_bytes: bytes }),
    })),
    hashes_per_second: hashesPerSecond,
    memory_bytes: memoryBytes,
    cores,
    ...(node !== undefined && { node }),
  };
}

/** How a machine is, as the API shows it; `nowMs` is when it said so. */
export function healthView(
  { gpus, trouble }: WorkerHealth,
  nowMs: number,
): NonNullable<WorkerView['health']> {
  return {
    gpus: gpus.map(({ utilisation, celsius, memoryUsedBytes }) => ({
      utilisation: utilisation ?? null,
      celsius: celsius ?? null,
      memory_used_bytes: memoryUsedBytes ?? null,
    })),
    trouble: trouble ? { at: Math.round(nowMs - trouble.agoMs), message: trouble.message } : null,
  };
}
