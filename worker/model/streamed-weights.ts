import type { Tensor2D } from '@tensorflow/tfjs';
import * as tf from '@tensorflow/tfjs';
import { must } from '#shared/errors/pool-error.ts';
import { type ModelConfig, tensorShapes } from '#shared/weights/model-config.ts';
import { loadTensor, type RowRange, releaseTensor } from '#worker/model/load-tensor.ts';
import { type Lookup, networkOf } from '#worker/model/network.ts';
import { type AnyTensor, closeTensor, readFloats, type TensorSource } from '#worker/model/stored-tensor.ts';
import { checkComplete, checked, type WeightSet } from '#worker/model/weight-set.ts';

/** A block of rows of a large matrix: large enough to compute at full speed, small beside a layer. */
const BLOCK_BYTES = 16 * 1024 * 1024;
/** Of a small budget a block takes this part at most, so that the next one has room beside it. */
const BLOCKS_IN_BUDGET = 4;

/** A tensor or a block of its rows. */
interface Piece {
  readonly key: string;
  readonly name: string;
  readonly shape: readonly number[];
  readonly rows?: RowRange;
  /** As f32. */
  readonly bytes: number;
}

interface Held {
  readonly bytes: number;
  /** `undefined` where loading failed. */
  readonly loading: Promise<tf.Tensor | undefined>;
  tensor?: tf.Tensor;
  error?: unknown;
}

/**
 * Weights of which no more than a budget is in the backend's memory; the others are read from their files when a
 * layer wants them, the next layer's while this one's computes. Layers come round and round in the same order, so
 * what was used last is what will be wanted last, and is what goes: the first layers stay as long as there is room.
 * A large embedding or head is never there as a whole: rows are looked up in its file, and it is multiplied in blocks.
 */
export class StreamedWeights implements WeightSet {
  readonly #budgetBytes: number;
  readonly #shapes: ReadonlyMap<string, number[]>;
  readonly #files = new Map<string, AnyTensor>();
  /** What is in the backend, or on its way there; last used last. */
  readonly #held = new Map<string, Held>();
  #heldBytes = 0;
  #turn: Promise<unknown> = Promise.resolve();

  private constructor(config: ModelConfig, budgetBytes: number) {
    this.#budgetBytes = budgetBytes;
    this.#shapes = tensorShapes(config);
  }

  /** MEMORY_BUDGET where not even one layer has room; else as `ResidentWeights.load`. */
  static async load(
    config: ModelConfig,
    source: TensorSource,
    budgetBytes: number,
  ): Promise<StreamedWeights> {
    const least = leastBudget(config);
    must(
      budgetBytes >= least,
      'MEMORY_BUDGET',
      `memory budget: expected at least ${least} bytes, for the largest layer of the model, got ${budgetBytes}`,
    );
    const weights = new StreamedWeights(config, budgetBytes);
    try {
      await weights.swap(source);
      checkComplete(config, weights.#files);
      return weights;
    } catch (error) {
      weights.dispose();
      throw error;
    }
  }

  /** Bytes of f32 in the backend at present. */
  get heldBytes(): number {
    return this.#heldBytes;
  }

  use<T>(names: readonly string[], compute: (w: Lookup) => T, ahead: readonly string[] = []): Promise<T> {
    const pieces = names.map((name) => this.#whole(name));
    const next = ahead.map((name) => this.#whole(name)).filter(({ bytes }) => bytes <= this.#budgetBytes);
    return this.#inTurn(() =>
      this.#with(pieces, next, (tensors) => {
        return compute((name) => {
          const tensor = tensors.get(name);
          must(tensor, 'INTERNAL', () => `${name}: not among the weights that were asked for`);
          return tensor;
        });
      }),
    );
  }

  async rows(name: string, ids: ArrayLike<number>): Promise<Tensor2D> {
    const [, width = 1] = this.#shape(name);
    const stored = this.#file(name);
    const values = new Float32Array(ids.length * width); // [n,C]
    const read = (id: number, i: number) =>
      readFloats(stored, {
        start: id * width,
        count: width,
        fixed: true,
        room: (at, count) => values.subarray(i * width + at, i * width + at + count),
      });
    await Promise.all(Array.from(ids, read));
    return tf.tensor2d(values, [ids.length, width]);
  }

  useBlocks(name: string, compute: (block: Tensor2D, firstRow: number) => void): Promise<void> {
    const blocks = this.#blocks(name);
    return this.#inTurn(async () => {
      for (const [i, block] of blocks.entries()) {
        await this.#with([block], blocks.slice(i + 1, i + 2), (tensors) => {
          compute(tensors.get(block.key) as Tensor2D, block.rows?.start ?? 0);
        });
      }
    });
  }

  swap(changed: TensorSource): Promise<void> {
    return this.#inTurn(async () => {
      for await (const stored of checked(this.#shapes, changed)) {
        const { name } = stored;
        await this.#forget(name);
        this.#files.set(name, stored);
      }
    });
  }

  dispose(): void {
    const coming: Promise<unknown>[] = [];
    for (const [key, { tensor, loading }] of [...this.#held]) {
      if (tensor === undefined) coming.push(loading.then((late) => late?.dispose()));
      this.#drop(key);
    }
    const files = [...this.#files.values()];
    this.#files.clear();
    void Promise.allSettled(coming).then(() => Promise.allSettled(files.map(closeTensor)));
  }

  /** Drops a tensor's file and what is in the backend of it. */
  async #forget(name: string): Promise<void> {
    const file = this.#files.get(name);
    if (file === undefined) return;
    this.#files.delete(name);
    for (const key of [...this.#held.keys()]) {
      if (key !== name && !key.startsWith(`${name}@`)) continue;
      await this.#held.get(key)?.loading;
      this.#drop(key);
    }
    await closeTensor(file);
  }

  async #with<T>(
    pieces: readonly Piece[],
    ahead: readonly Piece[],
    compute: (tensors: ReadonlyMap<string, tf.Tensor>) => T,
  ): Promise<T> {
    const busy = new Set(pieces.map(({ key }) => key));
    for (const piece of pieces) await this.#bring(piece, busy);
    const tensors = new Map<string, tf.Tensor>();
    for (const { key } of pieces) tensors.set(key, await this.#arrived(key));
    for (const { key } of ahead) busy.add(key);
    for (const piece of ahead) {
      if (!this.#held.has(piece.key) && this.#makeRoom(piece.bytes, busy)) this.#begin(piece);
    }
    return compute(tensors);
  }

  /** Has a piece loaded, if it is not on its way, once there is room beside the busy ones. */
  async #bring(piece: Piece, busy: ReadonlySet<string>): Promise<void> {
    const held = this.#held.get(piece.key);
    if (held && held.error === undefined) {
      this.#held.delete(piece.key);
      this.#held.set(piece.key, held); // last used last
      return;
    }
    this.#drop(piece.key);
    while (!this.#makeRoom(piece.bytes, busy)) {
      const coming = [...this.#held].find(([key, { tensor }]) => !busy.has(key) && tensor === undefined);
      must(coming, 'INTERNAL', () => `${piece.key}: no room, though the budget was found large enough`);
      await coming[1].loading;
    }
    this.#begin(piece);
  }

  #begin({ key, name, shape, rows, bytes }: Piece): void {
    const loading = loadTensor(this.#file(name), shape, rows).then(
      (tensor) => {
        held.tensor = tensor;
        return tensor;
      },
      (error: unknown) => {
        held.error = error ?? new Error('unknown');
        return undefined;
      },
    );
    const held: Held = { bytes, loading };
    this.#held.set(key, held);
    this.#heldBytes += bytes;
  }

  async #arrived(key: string): Promise<tf.Tensor> {
    const held = this.#held.get(key);
    const tensor = await held?.loading;
    if (tensor) return tensor;
    this.#drop(key);
    throw held?.error;
  }

  /** Frees what was used last, until there is room for `bytes`. Busy pieces and those on their way stay. */
  #makeRoom(bytes: number, busy: ReadonlySet<string>): boolean {
    const free = () => this.#budgetBytes - this.#heldBytes;
    for (const [key, { tensor, error }] of [...this.#held].reverse()) {
      if (free() >= bytes) break;
      if (!busy.has(key) && (tensor !== undefined || error !== undefined)) this.#drop(key);
    }
    return free() >= bytes;
  }

  #drop(key: string): void {
    const held = this.#held.get(key);
    if (!held) return;
    this.#held.delete(key);
    this.#heldBytes -= held.bytes;
    if (held.tensor) releaseTensor(held.tensor);
  }

  #whole(name: string): Piece {
    const shape = this.#shape(name);
    return { key: name, name, shape, bytes: floatBytes(shape) };
  }

  #blocks(name: string): Piece[] {
    const shape = this.#shape(name);
    const [height = 1, width = 1] = shape;
    const step = blockRows(width, this.#budgetBytes);
    return Array.from({ length: Math.ceil(height / step) }, (_, i) => {
      const rows = { start: i * step, end: Math.min(height, (i + 1) * step) };
      const bytes = floatBytes([rows.end - rows.start, width]);
      return { key: `${name}@${rows.start}`, name, shape, rows, bytes };
    });
  }

  #shape(name: string): readonly number[] {
    const shape = this.#shapes.get(name);
    must(shape, 'INTERNAL', () => `${name}: not a tensor of the model`);
    return shape;
  }

  #file(name: string): AnyTensor {
    const stored = this.#files.get(name);
    must(stored, 'INTERNAL', () => `${name}: not among the weights`);
    return stored;
  }

  /** One after another: what one computes with, another must not free. */
  #inTurn<T>(task: () => Promise<T>): Promise<T> {
    const result = this.#turn.then(task);
    this.#turn = result.catch(() => {});
    return result;
  }
}

/** Bytes of f32 that the largest part of the network needs at once: a layer, as a rule. */
export function leastBudget(config: ModelConfig): number {
  const shapes = tensorShapes(config);
  const { names } = networkOf(config);
  const layers = Array.from({ length: config.layers }, (_, layer) => names.block(layer));
  const together = [names.embed.slice(1), ...layers, names.end];
  const bytes = (part: readonly string[]) =>
    part.reduce((sum, name) => sum + floatBytes(shapes.get(name) ?? []), 0);
  return Math.max(...together.map(bytes), BLOCKS_IN_BUDGET * floatBytes([config.width]));
}

function blockRows(width: number, budgetBytes: number): number {
  const bytes = Math.min(BLOCK_BYTES, budgetBytes / BLOCKS_IN_BUDGET);
  return Math.max(1, Math.floor(bytes / floatBytes([width])));
}

const floatBytes = (shape: readonly number[]): number => shape.reduce((a, b) => a * b, 4);
