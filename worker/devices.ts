import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { must } from '#shared/errors/pool-error.ts';

/** What computing processes can be bound to. */
export interface ComputeDevice {
  /** NVIDIA's number of the GPU, or `cpu`. */
  readonly id: string;
  readonly name: string;
  readonly memoryBytes: number | undefined;
}

export const CPU: ComputeDevice = { id: 'cpu', name: 'the processor', memoryBytes: undefined };
const PROGRAM_TIMEOUT_MS = 10_000;

/** What the driver tells of a GPU at this moment; undefined where it does not. */
export interface GpuState {
  readonly id: string;
  readonly name: string;
  readonly memoryBytes: number | undefined;
  readonly memoryUsedBytes: number | undefined;
  /** 0 to 1. */
  readonly utilisation: number | undefined;
  readonly celsius: number | undefined;
  readonly watts: number | undefined;
}

const FIELDS = [
  ...['index', 'name', 'memory.total', 'memory.used'],
  ...['utilization.gpu', 'temperature.gpu', 'power.draw'],
];

/** NVIDIA's GPUs by its driver's own tool; none where there is no driver. */
export async function readGpus(): Promise<GpuState[]> {
  const query = [`--query-gpu=${FIELDS.join()}`, '--format=csv,noheader,nounits'];
  const { stdout } = await promisify(execFile)('nvidia-smi', query, { timeout: PROGRAM_TIMEOUT_MS }).catch(
    () => ({ stdout: '' }),
  );
  return parseGpus(stdout);
}

/** One line for each GPU; what a card does not tell stands as `[N/A]`. */
export function parseGpus(text: string): GpuState[] {
  const lines = text.split('\n').map((line) => line.split(',').map((cell) => cell.trim()));
  return lines
    .filter(([id]) => /^[0-9]+$/.test(id ?? ''))
    .map(([id = '', name = '', total, used, utilisation, celsius, watts]) => ({
      id,
      name,
      memoryBytes: scaled(total, 2 ** 20),
      memoryUsedBytes: scaled(used, 2 ** 20),
      utilisation: scaled(utilisation, 0.01),
      celsius: scaled(celsius, 1),
      watts: scaled(watts, 1),
    }));
}

function scaled(text: string | undefined, unit: number): number | undefined {
  const value = Number(text);
  return text && Number.isFinite(value) ? value * unit : undefined;
}

/**
 * The devices that were asked for: ids, or `all` for every GPU, and the processor where there is none. Undefined where
 * nothing was asked for: the backend takes what it finds. OPTION for one that is not there.
 */
export function chooseDevices(
  wanted: readonly string[] | undefined,
  gpus: readonly Pick<GpuState, 'id' | 'name' | 'memoryBytes'>[],
): ComputeDevice[] | undefined {
  if (wanted === undefined) return undefined;
  const known = [...gpus.map(({ id, name, memoryBytes }) => ({ id, name, memoryBytes })), CPU];
  if (wanted.includes('all')) return gpus.length > 0 ? known.slice(0, -1) : [CPU];
  return wanted.map((id) => {
    const device = known.find((each) => each.id === id);
    must(
      device,
      'OPTION',
      () =>
        `--devices: expected some of ${known.map((each) => each.id).join()} or all, got ${id.slice(0, 40)}`,
    );
    return device;
  });
}

/** Variables that show a computing process this device and no other. */
export function deviceEnvironment(device: ComputeDevice | undefined): Readonly<Record<string, string>> {
  if (!device) return {};
  // By the number of the slot, as nvidia-smi counts; CUDA's own order puts the fastest first.
  return { CUDA_DEVICE_ORDER: 'PCI_BUS_ID', CUDA_VISIBLE_DEVICES: device.id === CPU.id ? '-1' : device.id };
}
