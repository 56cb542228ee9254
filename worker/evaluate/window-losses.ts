import { setImmediate as nextTurn } from 'node:timers/promises';
import { must } from '#shared/errors/pool-error.ts';

/** What an evaluation needs of a model. */
export interface LossModel {
  readonly config: { readonly context: number };
  losses(batch: { ids: ArrayLike<number>; labels: ArrayLike<number> }, time: number): Promise<Float32Array>;
}

export interface WindowLossOptions {
  readonly signal?: AbortSignal;
  readonly onProgress?: (done: number, total: number) => void;
  /** Windows computed together. Default: as many as make 1,024 tokens. */
  readonly batch?: number;
}

/** Enough for the matrix kernels to be at full speed (measured), and a fraction of a second for a small model. */
const TOKENS_AT_ONCE = 1024;

/**
 * Mean cross-entropy per token, in nats, of each window of T+1 tokens: the first T are read, the last T
 * are to be foretold. Weights that compute to NaN give NaN. A window's loss does not depend on the windows beside it,
 * but for rounding far below a micro-nat. Other work of the process runs between batches; an abort rejects with the
 * signal's reason.
 */
export async function windowLosses(
  model: LossModel,
  windows: readonly Uint32Array[],
  options: WindowLossOptions = {},
): Promise<number[]> {
  const { signal, onProgress } = options;
  const losses: number[] = [];
  while (losses.length < windows.length) {
    signal?.throwIfAborted();
    const group = sameLength(windows, losses.length, options.batch);
    losses.push(...(await groupLosses(model, group)));
    onProgress?.(losses.length, windows.length);
    await nextTurn();
  }
  return losses;
}

/** The windows from `start` on that are as long as the first of them, `batch` at most. */
function sameLength(windows: readonly Uint32Array[], start: number, batch?: number): readonly Uint32Array[] {
  const length = windows[start]!.length;
  must(length >= 2, 'BAD_REQUEST', `window ${start}: expected 2 tokens or more, got ${length}`);
  const most = batch ?? Math.max(1, Math.floor(TOKENS_AT_ONCE / (length - 1)));
  let end = start + 1;
  while (end < windows.length && end < start + most && windows[end]!.length === length) end++;
  return windows.slice(start, end);
}

async function groupLosses(model: LossModel, group: readonly Uint32Array[]): Promise<number[]> {
  const time = group[0]!.length - 1;
  const ids = new Uint32Array(group.length * time); // [B·T]
  const labels = new Uint32Array(group.length * time);
  for (const [row, window] of group.entries()) {
    ids.set(window.subarray(0, time), row * time);
    labels.set(window.subarray(1), row * time);
  }
  const perToken = await model.losses({ ids, labels }, time); // [B·T]
  return group.map((_, row) => mean(perToken.subarray(row * time, (row + 1) * time)));
}

/** In float64: the sum of a long window would lose digits in float32. */
function mean(values: Float32Array): number {
  let sum = 0;
  for (const value of values) sum += value;
  return sum / values.length;
}
