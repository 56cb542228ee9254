import { type CborValue, encodeCbor } from '#shared/block/cbor.ts';
import { compareBytes, utf8ToBytes } from '#shared/crypto/bytes.ts';
import { merkleRoot } from '#shared/crypto/merkle.ts';
import type { Dtype } from '#shared/weights/dtype.ts';

/** A tensor as the chain knows it: by name and by the hash of its bytes. */
export interface TensorRef {
  readonly name: string;
  readonly dtype: Dtype;
  readonly shape: readonly number[];
  readonly payloadHash: Uint8Array;
}

/** PROTOCOL §6: the leaf of one tensor under the model root. */
export function tensorLeaf(tensor: TensorRef): Uint8Array {
  const leaf: CborValue = [tensor.name, tensor.dtype, tensor.shape, tensor.payloadHash];
  return encodeCbor(leaf);
}

/** Merkle root over all current tensors in the byte order of their names. PROTOCOL §6. */
export function modelRoot(tensors: Iterable<TensorRef>): Uint8Array {
  return merkleRoot(sortByName([...tensors]).map(tensorLeaf));
}

export function sortByName<T extends { readonly name: string }>(tensors: readonly T[]): T[] {
  return [...tensors].sort((a, b) => compareBytes(utf8ToBytes(a.name), utf8ToBytes(b.name)));
}
