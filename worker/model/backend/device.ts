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
