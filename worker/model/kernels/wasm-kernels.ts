import type { Tensor, Tensor1D, Tensor2D } from '@tensorflow/tfjs';
import * as tf from '@tensorflow/tfjs';
import type { CachedRows, Heads, Kernels } from '#worker/model/kernels/kernels.ts';

type Call = (...args: number[]) => number;
/** The exports of `assembly/index.ts`; their arguments are documented there. */
type Names =
  | 'adamW'
  | 'attention'
  | 'attentionCached'
  | 'attentionGrad'
  | 'attentionScratchBytes'
  | 'copy'
  | 'copyColumns'
  | 'gather'
  | 'gelu'
  | 'geluGrad'
  | 'gradScratchBytes'
  | 'headLosses'
  | 'headMeanLoss'
  | 'lossScratchBytes'
  | 'matmul'
  | 'norm'
  | 'normGrad'
  | 'rope'
  | 'scatterAdd'
  | 'scratchBytes'
  | 'sumOfSquares'
  | 'sumRows'
  | 'swiglu'
  | 'swigluGrad';
export type Assembly = Readonly<Record<Names, Call>>;

/** The memory of the wasm backend, as the kernels use it. */
export interface WasmMemory {
  /** Address of a tensor's values. */
  at(x: Tensor): number;
  /** A tensor of float32 that the caller fills: every kernel writes each value of its results. */
  empty<T extends Tensor>(shape: number[]): T;
  /** Address of so many bytes, valid until the next call. */
  scratch(bytes: number): number;
}

/** Mode of the assembly's `matmul`: overwrite. */
const SET = 0;
/** A cache that is full grows by half, to at least so many rows. */
const CACHE_ROWS = 64;

/** Our kernels in WebAssembly as functions of tensors. */
export function wasmKernels(asm: Assembly, memory: WasmMemory): Kernels {
  return {
    ...linears(asm, memory),
    ...norms(asm, memory),
    ...attentions(asm, memory),
    ...pointwise(asm, memory),
    ...ends(asm, memory),
    ...training(asm, memory),
  };
}

/** One side of a product in memory: its rows are `stride` values apart; `turned` where it is stored transposed. */
type Side = readonly [address: number, stride: number, turned: 0 | 1];

function linears(
  asm: Assembly,
  { at, empty, scratch }: WasmMemory,
): Pick<Kernels, 'linear' | 'linearGrad' | 'logits'> {
  /** out [m,n] = a [m,k] · b [k,n] + bias [n] */
  const multiply = ([m, n, k]: readonly [number, number, number], a: Side, b: Side, to: Tensor, bias = 0) => {
    asm.matmul(m, n, k, ...a, ...b, at(to), n, SET, bias, scratch(asm.scratchBytes()));
  };
  return {
    linear(x, w, b, layout) {
      const [n, C] = x.shape;
      const turned = layout === 'out-in';
      const F = w.shape[turned ? 0 : 1];
      const out = empty<Tensor2D>([n, F]);
      multiply([n, F, C], [at(x), C, 0], [at(w), w.shape[1], turned ? 1 : 0], out, b ? at(b) : 0);
      return out;
    },
    linearGrad(dy, x, w, { layout, bias }) {
      const [[n, C], F] = [x.shape, dy.shape[1]];
      const [dx, dw] = [empty<Tensor2D>(x.shape), empty<Tensor2D>(w.shape)];
      if (layout === 'in-out') {
        multiply([n, C, F], [at(dy), F, 0], [at(w), F, 1], dx); // dy·wᵀ
        multiply([C, F, n], [at(x), C, 1], [at(dy), F, 0], dw); // xᵀ·dy
      } else {
        multiply([n, C, F], [at(dy), F, 0], [at(w), C, 0], dx); // dy·w
        multiply([F, C, n], [at(dy), F, 1], [at(x), C, 0], dw); // dyᵀ·x
      }
      if (!bias) return [dx, dw, null];
      const db = empty<Tensor1D>([F]);
      asm.sumRows(at(dy), n, F, at(db));
      return [dx, dw, db];
    },
    logits(h, head) {
      const [[n, C], V] = [h.shape, head.shape[0]];
      const out = empty<Tensor2D>([n, V]);
      multiply([n, V, C], [at(h), C, 0], [at(head), C, 1], out);
      return out;
    },
  };
}

/** RMS norm is layer norm without means and bias: their addresses are 0. */
function norms(
  asm: Assembly,
  { at, empty }: WasmMemory,
): Pick<Kernels, 'layerNorm' | 'layerNormGrad' | 'rmsNorm' | 'rmsNormGrad'> {
  return {
    layerNorm(x, gain, bias, epsilon) {
      const [n, C] = x.shape;
      const [y, mean, inverseSd] = [empty<Tensor2D>(x.shape), empty<Tensor1D>([n]), empty<Tensor1D>([n])];
      asm.norm(at(x), at(gain), at(bias), n, C, epsilon, at(y), at(mean), at(inverseSd));
      return [y, mean, inverseSd];
    },
    layerNormGrad(dy, { x, gain, mean, inverseSd }) {
      const [n, C] = x.shape;
      const [dx, dgain, dbias] = [empty<Tensor2D>(x.shape), empty<Tensor1D>([C]), empty<Tensor1D>([C])];
      const saved = [at(x), at(gain), at(mean), at(inverseSd)];
      asm.normGrad(at(dy), ...saved, n, C, at(dx), at(dgain), at(dbias));
      return [dx, dgain, dbias];
    },
    rmsNorm(x, gain, epsilon) {
      const [n, C] = x.shape;
      const [y, inverseRms] = [empty<Tensor2D>(x.shape), empty<Tensor1D>([n])];
      asm.norm(at(x), at(gain), 0, n, C, epsilon, at(y), 0, at(inverseRms));
      return [y, inverseRms];
    },
    rmsNormGrad(dy, { x, gain, inverseRms }) {
      const [n, C] = x.shape;
      const [dx, dgain] = [empty<Tensor2D>(x.shape), empty<Tensor1D>([C])];
      asm.normGrad(at(dy), at(x), at(gain), 0, at(inverseRms), n, C, at(dx), at(dgain), 0);
      return [dx, dgain];
    },
  };
}

function attentions(
  asm: Assembly,
  { at, empty, scratch }: WasmMemory,
): Pick<Kernels, 'attention' | 'attentionGrad' | 'attentionCached'> {
  const room = (tokens: number, heads: number) =>
    scratch(asm.scratchBytes() + asm.attentionScratchBytes(tokens, heads));
  /** Heads, their width and the window as the assembly takes them. */
  const layout = (q: Tensor2D, { heads, kvHeads, window }: Heads) =>
    [heads, kvHeads, q.shape[1] / heads, window ?? 0] as const;
  return {
    attention(q, k, v, shape) {
      const [{ time, heads }, n] = [shape, q.shape[0]];
      const [out, logSum] = [empty<Tensor2D>(q.shape), empty<Tensor1D>([n * heads])];
      const own = room(time, heads);
      asm.attention(at(q), at(k), at(v), n / time, time, ...layout(q, shape), at(out), at(logSum), own);
      return [out, logSum];
    },
    attentionGrad(dout, { q, k, v, out, logSum }, shape) {
      const [{ time, heads }, n] = [shape, q.shape[0]];
      const [dq, dk, dv] = [empty<Tensor2D>(q.shape), empty<Tensor2D>(k.shape), empty<Tensor2D>(v.shape)];
      const saved = [at(q), at(k), at(v), at(out), at(logSum)];
      const to = [at(dq), at(dk), at(dv), room(time, heads)];
      asm.attentionGrad(at(dout), ...saved, n / time, time, ...layout(q, shape), ...to);
      return [dq, dk, dv];
    },
    attentionCached(q, k, v, sequences, shape) {
      const out = empty<Tensor2D>(q.shape);
      const row = (x: Tensor2D, index: number) => at(x) + index * x.shape[1] * Float32Array.BYTES_PER_ELEMENT;
      let start = 0;
      for (const sequence of sequences) {
        const { layer, past, rows } = sequence;
        makeRoom(sequence, asm, { at, empty });
        const own = room(past + rows, shape.heads);
        const fresh = [row(q, start), row(k, start), row(v, start)];
        const cache = [at(layer.keys), at(layer.values), past, rows];
        asm.attentionCached(...fresh, ...cache, ...layout(q, shape), row(out, start), own);
        start += rows;
      }
      return out;
    },
  };
}

/** Larger tensors in the place of a cache's own, with what they held, where the new rows would not fit. */
function makeRoom(
  { layer, past, rows }: CachedRows,
  asm: Assembly,
  { at, empty }: Pick<WasmMemory, 'at' | 'empty'>,
): void {
  const [capacity, width] = layer.keys.shape;
  if (past + rows <= capacity) return;
  const larger = Math.max(past + rows, Math.ceil(capacity * 1.5), CACHE_ROWS);
  const [keys, values] = [empty<Tensor2D>([larger, width]), empty<Tensor2D>([larger, width])];
  asm.copy(at(layer.keys), at(keys), past * width);
  asm.copy(at(layer.values), at(values), past * width);
  tf.dispose([layer.keys, layer.values]);
  layer.keys = tf.keep(keys);
  layer.values = tf.keep(values);
}

function pointwise(
  asm: Assembly,
  { at, empty }: WasmMemory,
): Pick<Kernels, 'gelu' | 'geluGrad' | 'swiglu' | 'swigluGrad' | 'rope'> {
  return {
    gelu(x) {
      const out = empty<Tensor2D>(x.shape);
      asm.gelu(at(x), at(out), x.size);
      return out;
    },
    geluGrad(dy, x) {
      const dx = empty<Tensor2D>(x.shape);
      asm.geluGrad(at(dy), at(x), at(dx), x.size);
      return dx;
    },
    swiglu(gate, up) {
      const out = empty<Tensor2D>(gate.shape);
      asm.swiglu(at(gate), at(up), at(out), gate.size);
      return out;
    },
    swigluGrad(dy, gate, up) {
      const [dgate, dup] = [empty<Tensor2D>(gate.shape), empty<Tensor2D>(up.shape)];
      asm.swigluGrad(at(dy), at(gate), at(up), at(dgate), at(dup), dy.size);
      return [dgate, dup];
    },
    rope(x, { cos, sin }, { heads, inverse }) {
      const out = empty<Tensor2D>(x.shape);
      asm.rope(at(x), at(cos), at(sin), x.shape[0], heads, cos.shape[1], inverse ? -1 : 1, at(out));
      return out;
    },
  };
}

/** The first and the last layer: tables of token ids, logits and their losses. */
function ends(
  asm: Assembly,
  { at, empty, scratch }: WasmMemory,
): Pick<Kernels, 'gather' | 'scatterAdd' | 'headLosses' | 'headMeanLoss'> {
  return {
    gather(table, ids) {
      const [n, C] = [ids.shape[0], table.shape[1]];
      const out = empty<Tensor2D>([n, C]);
      asm.gather(at(table), at(ids), n, C, at(out));
      return out;
    },
    scatterAdd(dy, ids, rows) {
      const [n, C] = dy.shape;
      const out = empty<Tensor2D>([rows, C]);
      asm.scatterAdd(at(dy), at(ids), n, C, rows, at(out));
      return out;
    },
    headLosses(h, head, labels) {
      const [[n, C], V] = [h.shape, head.shape[0]];
      const losses = empty<Tensor1D>([n]);
      const own = scratch(asm.scratchBytes() + asm.lossScratchBytes());
      asm.headLosses(at(h), at(head), at(labels), n, C, V, at(losses), own);
      return losses;
    },
    headMeanLoss(h, head, labels) {
      const [[n, C], V] = [h.shape, head.shape[0]];
      const [loss, dh, dhead] = [empty<Tensor1D>([1]), empty<Tensor2D>(h.shape), empty<Tensor2D>(head.shape)];
      const own = scratch(asm.scratchBytes() + asm.gradScratchBytes(V));
      asm.headMeanLoss(at(h), at(head), at(labels), n, C, V, at(loss), at(dh), at(dhead), own);
      return [loss, dh, dhead];
    },
  };
}

function training(asm: Assembly, { at }: WasmMemory): Pick<Kernels, 'sumOfSquares' | 'adamW'> {
  return {
    sumOfSquares: async (tensors) => tensors.reduce((total, x) => total + asm.sumOfSquares(at(x), x.size), 0),
    adamW({ weight, moment1, moment2 }, gradient, step) {
      const rate = step.learningRate / step.correction1;
      const root = 1 / Math.sqrt(step.correction2);
      const keep = 1 - step.learningRate * step.weightDecay;
      const tensors = [at(weight), at(moment1), at(moment2), at(gradient), weight.size];
      asm.adamW(...tensors, step.beta1, step.beta2, step.epsilon, rate, root, keep, step.gradientScale);
    },
  };
}
