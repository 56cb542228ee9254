import { must } from '#shared/errors/pool-error.ts';
import { below, seededUniform, shuffled } from '#shared/weights/random.ts';

/** B sequences of `time` tokens one after another: ids [B·T] are read, labels [B·T] are to be foretold. */
export interface Batch {
  readonly ids: Int32Array;
  readonly labels: Int32Array;
  readonly time: number;
}

/**
 * Endless batches over a text of token ids, the same for the same seed. Each epoch cuts the text into
 * windows from a new random offset and visits every window once in a new random order. `skip` leaves out as many
 * batches, for a run that goes on.
 */
export function* batches(
  tokens: Uint16Array | Uint32Array,
  options: {
    readonly context: number;
    readonly batchSize: number;
    readonly seed: number;
    readonly skip?: number;
  },
): Generator<Batch, never> {
  const { context, batchSize, seed, skip = 0 } = options;
  must(
    tokens.length > context,
    'BAD_REQUEST',
    `text: expected more than ${context} tokens, got ${tokens.length}`,
  );
  const uniform = seededUniform(seed);
  let starts = epochStarts(tokens.length, context, uniform);
  for (let at = 0, drawn = 0; ; drawn++) {
    const chosen: number[] = [];
    while (chosen.length < batchSize) {
      if (at === starts.length) {
        starts = epochStarts(tokens.length, context, uniform);
        at = 0;
      }
      chosen.push(starts[at++]!);
    }
    if (drawn >= skip) yield gather(tokens, chosen, context);
  }
}

/** Starts of all windows of one epoch, in the order of their visit. A window reads one token past its end. */
function epochStarts(length: number, context: number, uniform: () => number): Uint32Array {
  const last = length - context - 1;
  const offset = below(uniform, Math.min(context, last + 1));
  const count = Math.floor((last - offset) / context) + 1;
  return shuffled(uniform, count).map((i) => offset + i * context);
}

function gather(tokens: Uint16Array | Uint32Array, starts: readonly number[], time: number): Batch {
  const ids = new Int32Array(starts.length * time);
  const labels = new Int32Array(starts.length * time);
  for (const [row, start] of starts.entries()) {
    ids.set(tokens.subarray(start, start + time), row * time);
    labels.set(tokens.subarray(start + 1, start + time + 1), row * time);
  }
  return { ids, labels, time };
}
