import type { Tensor1D, Tensor2D } from '@tensorflow/tfjs';
import * as tf from '@tensorflow/tfjs';
import { activeKernels } from '#worker/model/kernels/kernels.ts';
import { tokenTensor } from '#worker/model/tensors.ts';
import type { WeightSet } from '#worker/model/weight-set.ts';

/* The head, of which a part of the rows may be in memory at a time. n rows, C width, V vocabulary. */

/** h [n,C] → logits [n,V] */
export async function headLogits(weights: WeightSet, head: string, h: Tensor2D): Promise<Tensor2D> {
  const parts: Tensor2D[] = [];
  try {
    await weights.useBlocks(head, (block) => {
      parts.push(activeKernels().logits(h, block));
    });
    return parts.length === 1 ? (parts.pop() as Tensor2D) : (tf.concat(parts, 1) as Tensor2D);
  } finally {
    tf.dispose(parts);
  }
}

/** Cross-entropy in nats of the logits of h [n,C] against labels [n] → [n] */
export async function headLosses(
  weights: WeightSet,
  head: string,
  { h, labels }: { h: Tensor2D; labels: ArrayLike<number> },
): Promise<Tensor1D> {
  const parts: BlockLosses[] = [];
  try {
    await weights.useBlocks(head, (block, firstRow) => {
      parts.push(
        tf.tidy(() =>
          blockLosses(
            h,
            block,
            Int32Array.from(labels, (label) => label - firstRow),
          ),
        ),
      );
    });
    return tf.tidy(() => together(parts));
  } finally {
    tf.dispose(parts);
  }
}

/** What a block of the head says: [n] each. */
type BlockLosses = {
  /** Cross-entropy within the block, of the label or, where it is in another block, of the row nearest to it. */
  readonly loss: Tensor1D;
  /** The logit of that row. */
  readonly logit: Tensor1D;
  /** Whether the label is in this block. */
  readonly inside: Tensor1D;
};

function blockLosses(h: Tensor2D, block: Tensor2D, labels: Int32Array): BlockLosses {
  const last = block.shape[0] - 1;
  const nearest = tokenTensor(labels.map((label) => Math.min(Math.max(label, 0), last)));
  return {
    loss: activeKernels().headLosses(h, block, nearest),
    logit: tf.sum(tf.mul(h, activeKernels().gather(block, nearest)), 1),
    inside: tf.tensor1d(
      Array.from(labels, (label) => label >= 0 && label <= last),
      'bool',
    ),
  };
}

function together(parts: readonly BlockLosses[]): Tensor1D {
  const [only] = parts;
  if (parts.length === 1 && only) return tf.clone(only.loss);
  // Within a block, loss + logit is the log of the sum of its exponentials.
  const logSums = tf.stack(
    parts.map(({ loss, logit }) => tf.add(loss, logit)),
    1,
  ); // [n,blocks]
  const zero = tf.zeros([(parts[0] as BlockLosses).logit.shape[0]]);
  const own = tf.addN(parts.map(({ inside, logit }) => tf.where(inside, logit, zero)));
  return tf.sub(tf.logSumExp(logSums, 1), own);
}
