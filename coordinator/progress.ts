/** Long work: how to stop it, and whom to tell of it. */
export interface Watch {
  readonly signal: AbortSignal;
  readonly progress: Progress;
}

export interface Progress {
  /** A new step over `total` bytes begins. */
  begin(step: string, totalBytes: number): void;
  add(bytes: number): void;
  end(): void;
  /** A remark that stays. */
  note(text: string): void;
}

export const SILENT: Progress = { begin() {}, add() {}, end() {}, note() {} };

/** Nobody watches, nobody stops it. */
export const UNWATCHED: Watch = { signal: new AbortController().signal, progress: SILENT };

/** The same bytes, counted; ends with the signal's reason when it is aborted. */
export async function* counted(
  source: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
  { signal, progress }: Watch,
): AsyncGenerator<Uint8Array> {
  for await (const piece of source) {
    signal.throwIfAborted();
    yield piece;
    progress.add(piece.length);
  }
}
