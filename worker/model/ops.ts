import type { Tensor, Tensor1D, Tensor2D } from '@tensorflow/tfjs';
import * as tf from '@tensorflow/tfjs';
import { type AttentionShape, activeKernels, type EmbeddingTables } from '#worker/model/kernels/kernels.ts';

/*
 * The building blocks of every family: each pairs a kernel with the kernel of its gradient, so that
 * a network is written forwards only. n = B·T rows, C width, V vocabulary.
 */

type Gradients = (dy: Tensor, saved: Tensor[]) => Tensor[];
type Save = (tensors: Tensor[]) => void;

/** `tf.customGrad` with the types that its variadic callback loses. */
function differentiable<T extends Tensor>(
  inputs: Tensor[],
  forward: (save: Save) => { value: T; gradFunc: Gradients },
): T {
  const withSave = (...args: unknown[]) => forward(args[args.length - 1] as Save);
  return tf.customGrad(withSave as unknown as Parameters<typeof tf.customGrad<T>>[0])(...inputs);
}

/** x [n,C] · w [C,F] + b [F] → [n,F] */
export function linear(x: Tensor2D, w: Tensor2D, b: Tensor1D): Tensor2D {
  return differentiable([x, w, b], (save) => {
    save([x, w]);
    return {
      value: activeKernels().linear(x, w, b),
      gradFunc: (dy, saved) => activeKernels().linearGrad(dy as Tensor2D, ...(saved as [Tensor2D, Tensor2D])),
    };
  });
}

/** x/2·(1 + tanh(√(2/π)·(x + 0.044715·x³))), elementwise */
export function gelu(x: Tensor2D): Tensor2D {
  return differentiable([x], (save) => {
    save([x]);
    return {
      value: activeKernels().gelu(x),
      gradFunc: (dy, saved) => [activeKernels().geluGrad(dy as Tensor2D, saved[0] as Tensor2D)],
    };
  });
}

/** Each row of x [n,C] to mean 0 and variance 1, times gain [C] plus bias [C] */
export function layerNorm(
  x: Tensor2D,
  affine: { gain: Tensor1D; bias: Tensor1D },
  epsilon: number,
): Tensor2D {
  const { gain, bias } = affine;
  return differentiable([x, gain, bias], (save) => {
    const [value, ...moments] = activeKernels().layerNorm(x, gain, bias, epsilon);
    save([x, gain, ...moments]);
    return {
      value,
      gradFunc: (dy, saved) => {
        const [x, gain, mean, inverseSd] = saved as [Tensor2D, Tensor1D, Tensor1D, Tensor1D];
        return activeKernels().layerNormGrad(dy as Tensor2D, { x, gain, mean, inverseSd });
      },
    };
  });
}

/** Causal multi-head attention over qkv [n,3C] → [n,C] */
export function attention(qkv: Tensor2D, shape: AttentionShape): Tensor2D {
  return differentiable([qkv], (save) => {
    const [out, logSum] = activeKernels().attention(qkv, shape);
    save([qkv, out, logSum]);
    return {
      value: out,
      gradFunc: (dy, saved) => {
        const [qkv, out, logSum] = saved as [Tensor2D, Tensor2D, Tensor1D];
        return [activeKernels().attentionGrad(dy as Tensor2D, { qkv, out, logSum }, shape)];
      },
    };
  });
}

/** ids [n] → token plus position embedding [n,C]; sequences of `time` tokens from position 0 */
export function embed(ids: Tensor1D, tables: EmbeddingTables, time: number): Tensor2D {
  return differentiable([tables.tokens, tables.positions], (save) => {
    save([ids, tables.tokens, tables.positions]);
    return {
      value: activeKernels().embed(ids, tables, { time, start: 0 }),
      gradFunc: (dy, saved) => {
        const [ids, tokens, positions] = saved as [Tensor1D, Tensor2D, Tensor2D];
        return activeKernels().embedGrad(dy as Tensor2D, ids, { tokens, positions, time });
      },
    };
  });
}

/**
 * Mean cross-entropy in nats of the logits h [n,C] · head [V,C]ᵀ against labels [n], as [1].
 * The gradients are made on the way forwards, where the logits of a few rows are at hand: all of them
 * together never exist.
 */
export function headMeanLoss(h: Tensor2D, head: Tensor2D, labels: Tensor1D): Tensor1D {
  return differentiable([h, head], (save) => {
    const [value, dh, dhead] = activeKernels().headMeanLoss(h, head, labels);
    save([dh, dhead]);
    return { value, gradFunc: (dy, saved) => saved.map((gradient) => tf.mul(gradient, dy)) };
  });
}
