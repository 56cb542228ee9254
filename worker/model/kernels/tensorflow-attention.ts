import type { Tensor1D, Tensor2D, Tensor4D, Tensor5D } from '@tensorflow/tfjs';
import * as tf from '@tensorflow/tfjs';
import type { CachedRows, Kernels } from '#worker/model/kernels/kernels.ts';
import type { TensorflowOps } from '#worker/model/kernels/tensorflow-ops.ts';

/*
 * Causal attention of grouped queries. B sequences, T tokens, K key/value heads, G query heads to each of them,
 * D their size; t rows at a time see m keys.
 */

/** Added to scores that a row must not see. Finite, so that 0 · mask stays a number. */
const MASKED = -1e9;
/** Rows whose scores are in memory at once. What lies after the last of them is not computed. */
const ROWS_AT_ONCE = 256;

type Heads = { readonly heads: number; readonly kvHeads: number; readonly window: number | null };

export function tensorflowAttention(ops: TensorflowOps): Pick<Kernels, 'attention' | 'attentionCached'> {
  return {
    attention(q, k, v, shape) {
      return tf.tidy(() => {
        const { time, window } = shape;
        const [keys, values] = [byHead(k, time, shape.kvHeads), byHead(v, time, shape.kvHeads)]; // [B,K,T,D]
        const queries = grouped(q, time, shape); // [B,T,K,G,D]
        const parts = chunks(time).map(([start, end]) => {
          const from = firstSeen(start, window);
          return attend(
            tf.slice(queries, [0, start], [-1, end - start]),
            tf.slice(keys, [0, 0, from], [-1, -1, end - from]),
            tf.slice(values, [0, 0, from], [-1, -1, end - from]),
            hidden({ start, end, from, window }),
          );
        });
        const out = tf
          .concat(
            parts.map((part) => part.out),
            1,
          )
          .reshape(q.shape);
        return [
          out,
          tf
            .concat(
              parts.map((part) => part.logSum),
              2,
            )
            .flatten(),
        ] as [Tensor2D, Tensor1D];
      });
    },
    attentionCached(q, k, v, sequences, shape) {
      if (sequences.every(({ rows }) => rows === 1)) return oneRowEach(ops, { q, k, v, sequences }, shape);
      return tf.tidy(() => {
        let row = 0;
        const parts = sequences.map((sequence) => {
          const mine = (x: Tensor2D) => tf.slice(x, [row, 0], [sequence.rows, -1]);
          const [queries, freshKeys, freshValues] = [mine(q), mine(k), mine(v)];
          row += sequence.rows;
          append(ops, sequence, freshKeys, freshValues);
          return continued(queries, sequence, shape);
        });
        return tf.concat(parts, 0);
      });
    },
  };
}

/** Attention of the newest rows of one sequence over what its cache holds of them and before. */
function continued(q: Tensor2D, { layer, past, rows }: CachedRows, shape: Heads): Tensor2D {
  const { kvHeads, window } = shape;
  const from = firstSeen(past, window);
  const end = past + rows;
  const seen = (x: Tensor2D) => byHead(tf.slice(x, [from, 0], [end - from, -1]), end - from, kvHeads);
  const mask = hidden({ start: past, end, from, window });
  return attend(grouped(q, rows, shape), seen(layer.keys), seen(layer.values), mask).out.reshape(q.shape);
}

/** Writes the new rows behind the past ones; a full cache moves to one of twice the size. */
function append(ops: TensorflowOps, { layer, past, rows }: CachedRows, k: Tensor2D, v: Tensor2D): void {
  const capacity = layer.keys.shape[0];
  if (past + rows > capacity) {
    const more = Math.max(past + rows, 2 * capacity) - capacity;
    for (const name of ['keys', 'values'] as const) {
      const old = layer[name];
      layer[name] = tf.keep(
        tf.pad(old, [
          [0, more],
          [0, 0],
        ]),
      );
      old.dispose();
    }
  }
  const places = tf.tensor1d(
    Int32Array.from({ length: rows }, (_, i) => past + i),
    'int32',
  );
  ops.writeRows(layer.keys, places, k);
  ops.writeRows(layer.values, places, v);
  places.dispose();
}

/**
 * The next token of several sequences, in as few operations for each as there can be: seven, where `continued`
 * takes forty. Keys stay as they lie: each query head is laid over the width of all key heads, zero but in its own.
 */
function oneRowEach(
  ops: TensorflowOps,
  rows: { q: Tensor2D; k: Tensor2D; v: Tensor2D; sequences: readonly CachedRows[] },
  { heads: H, kvHeads: K, window }: Heads,
): Tensor2D {
  return tf.tidy(() => {
    const [B, C] = rows.q.shape;
    const D = C / H;
    const own = ownKeys(H, K);
    const scaled = tf.mul(rows.q.reshape([B, H, 1, D]), tf.mul(own, 1 / Math.sqrt(D))); // [B,H,K,D]
    const queries = tf.unstack(scaled.reshape([B, H, K * D])) as Tensor2D[]; // [H,K·D] each
    const [keys, values] = [rows.k, rows.v].map((x) => tf.split(x, B) as Tensor2D[]) as [
      Tensor2D[],
      Tensor2D[],
    ]; // [1,K·D] each
    const mixed = rows.sequences.map((sequence, i) => {
      append(ops, sequence, keys[i]!, values[i]!);
      const { layer, past } = sequence;
      const from = firstSeen(past, window);
      const seen = (x: Tensor2D) => tf.slice(x, [from, 0], [past + 1 - from, -1]); // [m,K·D]
      const weights = ops.softmax(ops.matMul(queries[i]!, seen(layer.keys), { b: true })); // [H,m]
      return ops.matMul(weights, seen(layer.values)); // [H,K·D]
    });
    const spread = tf.stack(mixed).reshape([B, H, K, D]);
    return tf.sum(tf.mul(spread, own), 2).reshape([B, C]);
  });
}

/** [H,K,1]: 1 where the key head is that of the query head. */
function ownKeys(heads: number, kvHeads: number): tf.Tensor3D {
  const own = Float32Array.from({ length: heads * kvHeads }, (_, i) => {
    const [head, kvHead] = [Math.floor(i / kvHeads), i % kvHeads];
    return kvHead === Math.floor((head * kvHeads) / heads) ? 1 : 0;
  });
  return tf.tensor3d(own, [heads, kvHeads, 1]);
}

/** q [B,t,K,G,D] over keys and values [B,K,m,D] → out [B,t,K·G·D] and logSum [B,K·G,t] */
function attend(
  q: Tensor5D,
  k: Tensor4D,
  v: Tensor4D,
  mask: Tensor2D | null,
): { out: tf.Tensor3D; logSum: tf.Tensor3D } {
  const [B, t, K, G, D] = q.shape;
  const m = k.shape[2];
  const scaled = tf.mul(q.transpose([0, 2, 3, 1, 4]), 1 / Math.sqrt(D)).reshape([B, K, G * t, D]);
  const raw = tf.matMul(scaled, k, false, true).reshape([B, K * G, t, m]);
  const scores = mask === null ? raw : tf.add(raw, mask);
  const most = tf.max(scores, 3, true); // [B,K·G,t,1]
  const weights = tf.exp(tf.sub(scores, most)); // [B,K·G,t,m]
  const sum = tf.sum(weights, 3, true); // [B,K·G,t,1]
  const mixed = tf.matMul(weights.reshape([B, K, G * t, m]), v).reshape([B, K * G, t, D]);
  const out = tf
    .div(mixed, sum)
    .transpose([0, 2, 1, 3])
    .reshape([B, t, K * G * D]);
  const logSum = tf.add(most, tf.log(sum)).reshape([B, K * G, t]);
  return { out: out as tf.Tensor3D, logSum: logSum as tf.Tensor3D };
}

/** Rows [B·T,K·D] as [B,K,T,D] */
function byHead(rows: Tensor2D, time: number, kvHeads: number): Tensor4D {
  const [n, C] = rows.shape;
  return rows.reshape([n / time, time, kvHeads, C / kvHeads]).transpose([0, 2, 1, 3]) as Tensor4D;
}

/** Rows [B·T,H·D] as [B,T,K,G,D]: neighbouring query heads share a key/value head. */
function grouped(rows: Tensor2D, time: number, { heads, kvHeads }: Heads): Tensor5D {
  const [n, C] = rows.shape;
  return rows.reshape([n / time, time, kvHeads, heads / kvHeads, C / heads]) as Tensor5D;
}

function chunks(time: number): [start: number, end: number][] {
  return Array.from({ length: Math.ceil(time / ROWS_AT_ONCE) }, (_, i) => {
    return [i * ROWS_AT_ONCE, Math.min(time, (i + 1) * ROWS_AT_ONCE)];
  });
}

/** The first position that a row at `position` sees. */
function firstSeen(position: number, window: number | null): number {
  return window === null ? 0 : Math.max(0, position - window + 1);
}

/** What rows [start,end) must not see of the keys [from,end), as numbers to add; null where they see all. */
function hidden(at: { start: number; end: number; from: number; window: number | null }): Tensor2D | null {
  const { start, end, from, window } = at;
  if (end - start === 1) return null;
  const row = tf.range(start, end).expandDims(1); // [t,1]
  const key = tf.range(from, end).expandDims(0); // [1,m]
  const later = tf.greater(key, row);
  const no = window === null ? later : tf.logicalOr(later, tf.lessEqual(key, tf.sub(row, window)));
  return tf.mul(tf.cast(no, 'float32'), MASKED) as Tensor2D;
}
