import type { Tensor, Tensor1D, Tensor2D } from '@tensorflow/tfjs';
import * as tf from '@tensorflow/tfjs';

interface Attribute {
  readonly name: string;
  readonly type: number;
  readonly value: number | boolean;
}

/** The backend of @tensorflow/tfjs-node: it executes any TensorFlow operation by its name. */
interface NodeBackend {
  readonly binding: Readonly<Record<'TF_ATTR_TYPE' | 'TF_ATTR_BOOL' | 'TF_FLOAT' | 'TF_INT32', number>>;
  executeSingleOutput(name: string, attributes: readonly Attribute[], inputs: readonly Tensor[]): Tensor;
  executeMultipleOutputs(
    name: string,
    attributes: readonly Attribute[],
    inputs: readonly Tensor[],
    outputs: number,
  ): Tensor[];
}

/** Operations of TensorFlow that TensorFlow.js does not offer, or offers with a detour. */
export interface TensorflowOps {
  /** a [m,k] · b [k,n] → [m,n]; either may be given transposed. The detour: as a batch of one, half as fast. */
  matMul(a: Tensor2D, b: Tensor2D, transposed?: { a?: boolean; b?: boolean }): Tensor2D;
  /** x [n,F] + b [F] → [n,F] */
  biasAdd(x: Tensor2D, b: Tensor1D): Tensor2D;
  /** logits [n,V], labels int32 [n] → cross-entropy [n] and its gradient [n,V], in one pass over the logits. */
  crossEntropy(logits: Tensor2D, labels: Tensor1D): [Tensor1D, Tensor2D];
  /** x [n,C] → the mean of each row [n,1] */
  rowMeans(x: Tensor2D): Tensor2D;
  /** x [n,C] → e^x of each row over their sum */
  softmax(x: Tensor2D): Tensor2D;
  /** Writes `rows` [m,C] into x [n,C] at `places` int32 [m], in place. */
  writeRows(x: Tensor2D, places: Tensor1D, rows: Tensor2D): void;
}

export function tensorflowOps(): TensorflowOps {
  const backend = tf.backend() as unknown as NodeBackend;
  const { binding } = backend;
  const float: Attribute = { name: 'T', type: binding.TF_ATTR_TYPE, value: binding.TF_FLOAT };
  const integer = (name: string): Attribute => ({
    name,
    type: binding.TF_ATTR_TYPE,
    value: binding.TF_INT32,
  });
  const lastAxis = tf.keep(tf.tensor1d([1], 'int32'));
  const flag = (name: string, value: boolean): Attribute => ({ name, type: binding.TF_ATTR_BOOL, value });
  return {
    matMul(a, b, transposed = {}) {
      const flags = [flag('transpose_a', transposed.a === true), flag('transpose_b', transposed.b === true)];
      return backend.executeSingleOutput('MatMul', [...flags, float], [a, b]) as Tensor2D;
    },
    biasAdd: (x, b) => backend.executeSingleOutput('BiasAdd', [float], [x, b]) as Tensor2D,
    crossEntropy(logits, labels) {
      const name = 'SparseSoftmaxCrossEntropyWithLogits';
      const outputs = backend.executeMultipleOutputs(name, [float, integer('Tlabels')], [logits, labels], 2);
      return outputs as [Tensor1D, Tensor2D];
    },
    rowMeans(x) {
      const attributes = [flag('keep_dims', true), float, integer('Tidx')];
      return backend.executeSingleOutput('Mean', attributes, [x, lastAxis]) as Tensor2D;
    },
    softmax: (x) => backend.executeSingleOutput('Softmax', [float], [x]) as Tensor2D,
    writeRows(x, places, rows) {
      // Its result is the same memory under another name.
      backend.executeSingleOutput('InplaceUpdate', [float], [x, places, rows]).dispose();
    },
  };
}
