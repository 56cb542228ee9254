import type { MetaBlock } from '#shared/block/meta-chain.ts';
import { toHex } from '#shared/crypto/bytes.ts';
import type { ModelRef, TensorRefMessage } from '#shared/protocol/worker.ts';
import { sortByName, type TensorRef } from '#shared/weights/model-root.ts';

/** A tensor as it is named in messages. */
export function tensorMessage({ name, dtype, shape, payloadHash }: TensorRef): TensorRefMessage {
  return { name, dtype, shape: [...shape], hash: toHex(payloadHash) };
}

/** The whole model as it is named in messages, tensors in name order. */
export function modelMessage(
  meta: MetaBlock,
  model: { root: Uint8Array; tensors: ReadonlyMap<string, TensorRef> },
): ModelRef {
  return {
    meta: toHex(meta.hash),
    metaPayload: toHex(meta.payloadHash),
    root: toHex(model.root),
    tensors: sortByName([...model.tensors.values()]).map(tensorMessage),
  };
}
