import { createHash } from 'node:crypto';
import type { BehaviourRule } from '#coordinator/chain/genesis/dev-rules.ts';
import type { Dtype } from '#shared/weights/dtype.ts';
import type { TensorRef } from '#shared/weights/model-root.ts';

/** What a chain starts from, apart from its keys. */
export interface GenesisContent {
  readonly configJson: string;
  readonly tokenizerJson: string;
  readonly chatTemplate: string;
  /** The files of these names, where the model came with them. */
  readonly tokenizerConfigJson?: string;
  readonly generationConfigJson?: string;
  readonly rules: readonly BehaviourRule[];
  readonly context: number;
  readonly shardWindows: number;
  readonly publicShards: readonly Uint8Array[];
  /** Not part of the Meta block, which holds only their root until they are revealed. */
  readonly heldOutShards: readonly Uint8Array[];
  /** In name order. */
  readonly tensors: readonly GenesisTensor[];
}

/** A tensor as it enters the Parameter chain: its bytes are read when they are stored. */
export interface GenesisTensor extends TensorRef {
  /** Its little-endian bytes from the first on, at each call anew. */
  read(): AsyncIterable<Uint8Array> | Iterable<Uint8Array>;
}

/** A tensor whose little-endian bytes are in memory. */
export interface TensorInMemory extends GenesisTensor {
  readonly bytes: Uint8Array;
}

export function tensorInMemory(tensor: {
  readonly name: string;
  readonly dtype: Dtype;
  readonly shape: readonly number[];
  readonly bytes: Uint8Array;
}): TensorInMemory {
  const payloadHash = new Uint8Array(createHash('sha256').update(tensor.bytes).digest());
  return { ...tensor, payloadHash, read: () => [tensor.bytes] };
}
