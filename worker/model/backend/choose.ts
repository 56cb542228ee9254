import { totalmem } from 'node:os';
import { BACKENDS, type WantedBackend } from '#shared/env.ts';
import { PoolError } from '#shared/errors/pool-error.ts';
import { type ComputeDevice, CPU, deviceEnvironment } from '#worker/devices.ts';
import type { Log } from '#worker/log.ts';
import { firstLine } from '#worker/model/backend/device.ts';
import type { BackendReport } from '#worker/model/backend/self-test.ts';
import type { BackendName } from '#worker/model/backend/start.ts';
import { ProcessHost } from '#worker/process/host.ts';

export interface BackendChoice extends BackendReport {
  /** Why others were not taken, for people. */
  readonly notes: readonly string[];
  /** All that compute rightly, the fastest first. */
  readonly right: readonly BackendReport[];
}

/** What a probing process is told. */
export interface ProbeSetting {
  readonly backend: BackendName;
  readonly allowSoftware: boolean;
  /** Name of the GPU that WebGPU shall take; the one it finds first where it is left out. */
  readonly adapter?: string | undefined;
}

export interface ChooseDependencies {
  readonly log: Log;
  readonly signal: AbortSignal;
  /** The device to compute on; what each backend finds where it is left out. */
  readonly device?: ComputeDevice | undefined;
}

/** Native libraries may take long to load the first time; the test itself takes two seconds at most. */
const PROBE_DEADLINE_MS = 60_000;
const LEAST_PROBE_BYTES = 4 * 2 ** 30;

/**
 * The backend to compute with: the one that is wanted, or with `auto` the fastest that computes rightly. Each is
 * started and tested in a process of its own, so that a crash of native code is one more reason against it.
 * Software GPUs are for tests and only taken when they are asked for. BACKEND where none can be used.
 */
export async function chooseBackend(wanted: WantedBackend, deps: ChooseDependencies): Promise<BackendChoice> {
  const { signal, device } = deps;
  const right: BackendReport[] = [];
  const notes: string[] = [];
  const auto = wanted === 'auto';
  for (const name of auto ? backendsFor(device) : [wanted]) {
    try {
      right.push(await probe({ backend: name, allowSoftware: !auto, adapter: adapterOf(device) }, deps));
    } catch (error) {
      signal.throwIfAborted();
      if (!auto) throw error;
      notes.push(firstLine(error));
    }
  }
  const [fastest, ...slower] = right.sort((a, b) => b.gflops - a.gflops);
  if (!fastest) throw new PoolError('BACKEND', `no compute backend works: ${notes.join('; ')}`);
  return {
    ...fastest,
    right,
    notes: [...notes, ...slower.map((report) => `backend ${describeBackend(report)}: slower`)],
  };
}

/** One line for people: `tensorflow: libtensorflow 2.21.0 on AMD EPYC, 24.6 GB, 210 GFLOP/s`. */
export function describeBackend({ name, device, memoryBytes, gflops }: BackendReport): string {
  const memory = memoryBytes === undefined ? [] : [`${(memoryBytes / 1e9).toFixed(1)} GB`];
  return `${name}: ${[device, ...memory, `${gflops.toPrecision(3)} GFLOP/s`].join(', ')}`;
}

/** WebGPU computes on GPUs only. */
function backendsFor(device: ComputeDevice | undefined): readonly BackendName[] {
  return device === CPU ? BACKENDS.filter((name) => name !== 'webgpu') : BACKENDS;
}

/** By name: WebGPU has no numbers. */
export function adapterOf(device: ComputeDevice | undefined): string | undefined {
  return device === CPU ? undefined : device?.name;
}

async function probe(
  setting: ProbeSetting,
  { log, signal, device }: ChooseDependencies,
): Promise<BackendReport> {
  const host = new ProcessHost(
    {
      entry: new URL('../process.ts', import.meta.url),
      setting,
      env: deviceEnvironment(device),
      memoryLimitBytes: Math.max(LEAST_PROBE_BYTES, totalmem() / 2),
      crashCode: 'BACKEND',
      requestsPerChild: 1,
    },
    log,
  );
  try {
    return (await host.request({ request: {}, deadlineMs: PROBE_DEADLINE_MS, signal })) as BackendReport;
  } catch (cause) {
    const reason = firstLine(cause).replace(`backend ${setting.backend}: `, '');
    throw new PoolError('BACKEND', `backend ${setting.backend}: ${reason}`, {}, { cause });
  } finally {
    await host.close();
  }
}
