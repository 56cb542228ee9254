import { ZERO_32 } from '#shared/crypto/bytes.ts';
import type { Sha256 } from '#shared/crypto/digest.ts';
import { merkleLeaf, merkleNode } from '#shared/crypto/merkle.ts';

/* A Merkle tree of PROTOCOL §3 that grows leaf by leaf, and the nodes to keep for proofs of any size it ever had. */

/** The complete subtree of 2^level leaves that begins at leaf index · 2^level: it never changes again. */
export interface TreePlace {
  readonly level: number;
  readonly index: number;
}

export interface TreeNode extends TreePlace {
  readonly hash: Uint8Array;
}

/** What a tree needs in order to grow. */
export interface GrowingTree {
  /** Number of leaves. */
  readonly size: number;
  /** Hashes of its complete subtrees, the largest first. */
  readonly peaks: readonly Uint8Array[];
}

export const EMPTY_TREE: GrowingTree = { size: 0, peaks: [] };

/** The tree with these leaves behind it, and the subtrees above the leaves that they complete; `hashed` is SHA-256. */
export function growTree(
  tree: GrowingTree,
  leaves: readonly Uint8Array[],
  hashed?: Sha256,
): { tree: GrowingTree; nodes: TreeNode[] } {
  const peaks = [...tree.peaks];
  const nodes: TreeNode[] = [];
  let { size } = tree;
  for (const leaf of leaves) {
    let hash = merkleLeaf(leaf, hashed);
    // Each trailing one of the size in binary is a peak as large as what has come together so far.
    for (let level = 1, left = size; left % 2 === 1; level++) {
      hash = merkleNode(peaks.pop() as Uint8Array, hash, hashed);
      left = (left - 1) / 2;
      nodes.push({ level, index: left, hash });
    }
    peaks.push(hash);
    size += 1;
  }
  return { tree: { size, peaks }, nodes };
}

/** Root over peaks; 32 zero bytes for none. */
export function rootOfPeaks(peaks: readonly Uint8Array[]): Uint8Array {
  return (
    peaks.reduceRight(
      (right: Uint8Array | undefined, peak) => (right ? merkleNode(peak, right) : peak),
      undefined,
    ) ?? ZERO_32
  );
}

/** Where the peaks of a tree of `size` leaves stand; those of its leaves from `from` on, where a subtree begins. */
export function peakPlaces(size: number, from = 0): TreePlace[] {
  const places: TreePlace[] = [];
  for (let at = from; at < size; ) {
    let level = 0;
    let width = 1;
    // No bit operations on sizes: those would cut them to 32 bits.
    while (at % (2 * width) === 0 && at + 2 * width <= size) {
      level += 1;
      width *= 2;
    }
    places.push({ level, index: at / width });
    at += width;
  }
  return places;
}

/**
 * For each sibling on the path from leaf `index` to the root of the first `size` leaves, bottom up: the complete
 * subtrees whose hashes make it, by `rootOfPeaks`. Only the last sibling to the right may have more than one.
 */
export function pathPlaces(index: number, size: number): TreePlace[][] {
  const path: TreePlace[][] = [];
  for (let level = 0, at = index, width = 1; width < size; level++, width *= 2) {
    const sibling = at % 2 === 1 ? at - 1 : at + 1;
    const complete = (sibling + 1) * width <= size;
    if (complete) path.push([{ level, index: sibling }]);
    else if (sibling * width < size) path.push(peakPlaces(size, sibling * width));
    at = Math.floor(at / 2);
  }
  return path;
}
