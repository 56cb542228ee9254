import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { visibleGpu } from '#worker/env.ts';

/** What a backend computes on. */
export interface Device {
  /** For people, such as `libtensorflow 2.21.0 on AMD EPYC`. */
  readonly name: string;
  /** Undefined where it cannot be asked for. */
  readonly memoryBytes: number | undefined;
  /** A processor that plays a GPU: right, and far slower than the same processor without the play. */
  readonly software: boolean;
}

/** Text of the first line of an error, for a sentence. */
export function firstLine(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error ?? 'no reason given');
  return text.split('\n', 1)[0] ?? '';
}

/**
 * Name and memory of the one of NVIDIA's GPUs that this process computes on, by its driver's own tool: TensorFlow tells neither of the two, and WebGPU
 * not the memory.
 */
export async function askNvidia(): Promise<{ name: string; memoryBytes: number | undefined }> {
  const query = ['--query-gpu=name,memory.total', '--format=csv,noheader,nounits', `--id=${visibleGpu()}`];
  const { stdout } = await promisify(execFile)('nvidia-smi', query).catch(() => ({ stdout: '' }));
  const [name, mebibytes] = stdout.trim().split(/,\s*/);
  const bytes = Number(mebibytes) * 2 ** 20;
  return { name: name || 'a GPU', memoryBytes: Number.isFinite(bytes) ? bytes : undefined };
}
