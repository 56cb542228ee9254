import { readFile } from 'node:fs/promises';
import type { Tensor, Tensor1D, Tensor2D } from '@tensorflow/tfjs';
import * as tf from '@tensorflow/tfjs';
import type { BackendWasm } from '@tensorflow/tfjs-backend-wasm';
import { must, PoolError } from '#shared/errors/pool-error.ts';
import { genericKernels } from '#worker/model/kernels/generic.ts';
import { type AdamWState, type Heads, type Kernels, useKernels } from '#worker/model/kernels/kernels.ts';

type Call = (...args: number[]) => number;
/** The exports of `assembly/index.ts`; their arguments are documented there. */
type Names =
  | 'adamW'
  | 'attention'
  | 'attentionGrad'
  | 'attentionScratchBytes'
  | 'gelu'
  | 'geluGrad'
  | 'headLosses'
  | 'headMeanLoss'
  | 'headScratchBytes'
  | 'layerNorm'
  | 'layerNormGrad'
  | 'matmul'
  | 'scratchBytes'
  | 'sumOfSquares'
  | 'sumRows';
type Exports = Readonly<Record<Names, Call>>;

/** The one call of the WebAssembly API that is made here; the compiler's types have it for browsers only. */
interface WebAssemblyApi {
  instantiate(bytes: Uint8Array, imports: object): Promise<{ instance: { exports: object } }>;
}

/** What matters here of the wasm backend beyond its public types (checked with 4.22). */
interface BackendInside {
  readonly asm: { readonly memory: object };
  _malloc(bytes: number): number;
  _free(address: number): void;
}

const KERNELS_FILE = new URL('./kernels.wasm', import.meta.url);
// Modes of `matmul` in the assembly: overwrite, or add to what is there.
const SET = 0;

/**
 * Links our kernels to the memory of the current wasm backend and makes them the ones in use.
 * Throws BACKEND where the file is missing or does not link.
 */
export async function installWasmKernels(): Promise<void> {
  const backend = tf.backend() as BackendWasm;
  const inside = backend.wasm as unknown as BackendInside;
  try {
    const bytes = await readFile(KERNELS_FILE);
    const { WebAssembly: wasm } = globalThis as unknown as { WebAssembly: WebAssemblyApi };
    const { instance } = await wasm.instantiate(bytes, { env: { memory: inside.asm.memory } });
    useKernels('wasm', wasmKernels(backend, inside, instance.exports as unknown as Exports));
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new PoolError(
      'BACKEND',
      `kernels.wasm: expected the file that \`npm run setup\` compiles, got: ${why}`,
      {},
      { cause },
    );
  }
}

function wasmKernels(backend: BackendWasm, inside: BackendInside, asm: Exports): Kernels {
  const at = (x: Tensor) => backend.getMemoryOffset(x.dataId);
  const scratch = scratchMemory(inside, asm.scratchBytes());
  return {
    ...genericKernels,
    ...dense(at, asm, scratch),
    ...attentions(at, asm, scratch),
    ...ends(at, asm, scratch),
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
    sumOfSquares: async (tensors) => tensors.reduce((total, x) => total + asm.sumOfSquares(at(x), x.size), 0),
    adamW(state: AdamWState, gradient, step) {
      const rate = step.learningRate / step.correction1;
      const root = 1 / Math.sqrt(step.correction2);
      const keep = 1 - step.learningRate * step.weightDecay;
      const { weight, moment1, moment2 } = state;
      const places = [at(weight), at(moment1), at(moment2), at(gradient)];
      asm.adamW(
        ...places,
        weight.size,
        step.beta1,
        step.beta2,
        step.epsilon,
        rate,
        root,
        keep,
        step.gradientScale,
      );
    },
  };
}

type At = (x: Tensor) => number;
/** Address of scratch with room for `ownBytes` of the kernel's own; valid until the next call. */
type Scratch = (ownBytes?: number) => number;

function dense(
  at: At,
  asm: Exports,
  scratch: Scratch,
): Pick<Kernels, 'linear' | 'linearGrad' | 'logits' | 'layerNorm' | 'layerNormGrad'> {
  return {
    linear(x, w, b, layout) {
      const [n, C] = x.shape;
      const F = layout === 'in-out' ? w.shape[1] : w.shape[0];
      const out = empty<Tensor2D>([n, F]);
      const turned = layout === 'in-out' ? 0 : 1;
      asm.matmul(
        n,
        F,
        C,
        at(x),
        C,
        0,
        at(w),
        w.shape[1],
        turned,
        at(out),
        F,
        SET,
        b === null ? 0 : at(b),
        scratch(),
      );
      return out;
    },
    linearGrad(dy, x, w, { layout, bias }) {
      const [[n, C], F] = [x.shape, dy.shape[1]];
      const [dx, dw] = [empty<Tensor2D>(x.shape), empty<Tensor2D>(w.shape)];
      if (layout === 'in-out') {
        asm.matmul(n, C, F, at(dy), F, 0, at(w), F, 1, at(dx), C, SET, 0, scratch()); // dy·wᵀ
        asm.matmul(C, F, n, at(x), C, 1, at(dy), F, 0, at(dw), F, SET, 0, scratch()); // xᵀ·dy
      } else {
        asm.matmul(n, C, F, at(dy), F, 0, at(w), C, 0, at(dx), C, SET, 0, scratch()); // dy·w
        asm.matmul(F, C, n, at(dy), F, 1, at(x), C, 0, at(dw), C, SET, 0, scratch()); // dyᵀ·x
      }
      if (!bias) return [dx, dw, null];
      const db = empty<Tensor1D>([F]);
      asm.sumRows(at(dy), n, F, at(db));
      return [dx, dw, db];
    },
    logits(h, head) {
      const [n, C, V] = [h.shape[0], h.shape[1], head.shape[0]];
      const out = empty<Tensor2D>([n, V]);
      asm.matmul(n, V, C, at(h), C, 0, at(head), C, 1, at(out), V, SET, 0, scratch());
      return out;
    },
    layerNorm(x, gain, bias, epsilon) {
      const [n, C] = x.shape;
      const [y, mean, inverseSd] = [empty<Tensor2D>(x.shape), empty<Tensor1D>([n]), empty<Tensor1D>([n])];
      asm.layerNorm(at(x), at(gain), at(bias), n, C, epsilon, at(y), at(mean), at(inverseSd));
      return [y, mean, inverseSd];
    },
    layerNormGrad(dy, { x, gain, mean, inverseSd }) {
      const [n, C] = x.shape;
      const [dx, dgain, dbias] = [empty<Tensor2D>(x.shape), empty<Tensor1D>([C]), empty<Tensor1D>([C])];
      const saved = [at(x), at(gain), at(mean), at(inverseSd)];
      asm.layerNormGrad(at(dy), ...saved, n, C, at(dx), at(dgain), at(dbias));
      return [dx, dgain, dbias];
    },
  };
}

function attentions(at: At, asm: Exports, scratch: Scratch): Pick<Kernels, 'attention' | 'attentionGrad'> {
  return {
    attention(q, k, v, shape) {
      if (!isPlain(shape)) return genericKernels.attention(q, k, v, shape);
      const { time, heads } = shape;
      const [n, C] = q.shape;
      const [out, logSum] = [empty<Tensor2D>([n, C]), empty<Tensor1D>([n * heads])];
      const qkv = tf.concat([q, k, v], 1); // [n,3C]
      const own = scratch(asm.attentionScratchBytes(time));
      asm.attention(at(qkv), n / time, time, heads, C, at(out), at(logSum), own);
      qkv.dispose();
      return [out, logSum];
    },
    attentionGrad(dout, { q, k, v, out, logSum }, shape) {
      if (!isPlain(shape)) return genericKernels.attentionGrad(dout, { q, k, v, out, logSum }, shape);
      const { time, heads } = shape;
      const [n, C] = out.shape;
      const qkv = tf.concat([q, k, v], 1); // [n,3C]
      const dqkv = empty<Tensor2D>(qkv.shape);
      const own = scratch(asm.attentionScratchBytes(time));
      asm.attentionGrad(at(dout), at(qkv), at(out), at(logSum), n / time, time, heads, C, at(dqkv), own);
      const parts = tf.split(dqkv, 3, 1) as [Tensor2D, Tensor2D, Tensor2D];
      tf.dispose([qkv, dqkv]);
      return parts;
    },
  };
}

const isPlain = ({ heads, kvHeads, window }: Heads) => heads === kvHeads && window === null;

function ends(at: At, asm: Exports, scratch: Scratch): Pick<Kernels, 'headLosses' | 'headMeanLoss'> {
  return {
    headLosses(h, head, labels) {
      const [[n, C], V] = [h.shape, head.shape[0]];
      const losses = empty<Tensor1D>([n]);
      const own = scratch(asm.headScratchBytes(V));
      asm.headLosses(at(h), at(head), at(labels), n, C, V, at(losses), own);
      return losses;
    },
    headMeanLoss(h, head, labels) {
      const [[n, C], V] = [h.shape, head.shape[0]];
      const [loss, dh, dhead] = [empty<Tensor1D>([1]), empty<Tensor2D>(h.shape), empty<Tensor2D>(head.shape)];
      const own = scratch(asm.headScratchBytes(V));
      asm.headMeanLoss(at(h), at(head), at(labels), n, C, V, at(loss), at(dh), at(dhead), own);
      return [loss, dh, dhead];
    },
  };
}

/** A tensor of float32 whose memory the caller fills: every kernel writes each value of its results. */
function empty<T extends Tensor>(shape: number[]): T {
  const backend = tf.backend() as BackendWasm;
  const info = backend.makeOutput(shape, 'float32');
  checkAddress(backend.getMemoryOffset(info.dataId), `a tensor [${shape}]`);
  return tf.engine().makeTensorFromTensorInfo(info) as T;
}

/** One piece of memory for all kernels, made larger when a call asks for more than any before. */
function scratchMemory(inside: BackendInside, sharedBytes: number): Scratch {
  let address = 0;
  let size = 0;
  return (ownBytes = 0) => {
    const needed = sharedBytes + ownBytes;
    if (needed > size) {
      if (address !== 0) inside._free(address);
      size = 0;
      address = inside._malloc(needed) >>> 0;
      checkAddress(address, `${needed} bytes of scratch`);
      size = needed;
    }
    return address;
  };
}

/** A full wasm memory answers with address 0, which a kernel would overwrite. */
function checkAddress(address: number, what: string): void {
  must(address !== 0, 'BACKEND', () => `wasm memory: expected room for ${what}, got none`);
}
