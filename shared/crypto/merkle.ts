import { equalBytes, ZERO_32 } from '#shared/crypto/bytes.ts';
import { plainSha256, type Sha256 } from '#shared/crypto/digest.ts';

const LEAF = Uint8Array.of(0);
const NODE = Uint8Array.of(1);

/** PROTOCOL §3, after RFC 6962: leaves and nodes have different prefixes, so neither passes for the other. */
export function merkleLeaf(bytes: Uint8Array, hash: Sha256 = plainSha256): Uint8Array {
  return hash(LEAF, bytes);
}

export function merkleNode(left: Uint8Array, right: Uint8Array, hash: Sha256 = plainSha256): Uint8Array {
  return hash(NODE, left, right);
}

/** The next level up; an odd last node moves up unchanged. */
function parents(level: readonly Uint8Array[]): Uint8Array[] {
  const next: Uint8Array[] = [];
  for (let i = 0; i < level.length; i += 2) {
    const left = level[i] as Uint8Array;
    const right = level[i + 1];
    next.push(right ? merkleNode(left, right) : left);
  }
  return next;
}

/** Root over the leaves' bytes; 32 zero bytes for none. */
export function merkleRoot(leaves: readonly Uint8Array[]): Uint8Array {
  return rootOfLeaves(leaves.map((leaf) => merkleLeaf(leaf)));
}

/** The same from the leaves' hashes, where their bytes are too many to be in memory. */
export function rootOfLeaves(hashes: readonly Uint8Array[]): Uint8Array {
  let level = [...hashes];
  while (level.length > 1) level = parents(level);
  return level[0] ?? ZERO_32;
}

/** As `merklePath`, from the leaves' hashes. */
export function pathOfLeaves(hashes: readonly Uint8Array[], index: number): Uint8Array[] {
  return stepsOf(hashes, index).map(({ hash }) => hash);
}

/** Siblings from leaf `index` to the root, bottom up; levels where the node moves up alone have none. */
export function merklePath(leaves: readonly Uint8Array[], index: number): Uint8Array[] {
  return merkleSteps(leaves, index).map(({ hash }) => hash);
}

/** One sibling on a path, and the side it stands on: such a path needs neither index nor size. */
export interface MerkleStep {
  readonly side: 'left' | 'right';
  readonly hash: Uint8Array;
}

/** The path from leaf `index` to the root, as steps. */
export function merkleSteps(leaves: readonly Uint8Array[], index: number): MerkleStep[] {
  return stepsOf(
    leaves.map((leaf) => merkleLeaf(leaf)),
    index,
  );
}

/** The paths of all leaves in their order, and the root, for as many hashes as one of them takes. */
export function merkleTree(leaves: readonly Uint8Array[]): { root: Uint8Array; steps: MerkleStep[][] } {
  const levels = levelsOf(leaves.map((leaf) => merkleLeaf(leaf)));
  const root = levels.at(-1)?.[0] ?? ZERO_32;
  return { root, steps: leaves.map((_, index) => stepsIn(levels, index)) };
}

function stepsOf(hashes: readonly Uint8Array[], index: number): MerkleStep[] {
  return stepsIn(levelsOf(hashes), index);
}

/** All levels of the tree, from the hashes of the leaves to the root. */
function levelsOf(hashes: readonly Uint8Array[]): (readonly Uint8Array[])[] {
  let level = hashes;
  const levels = [level];
  while (level.length > 1) {
    level = parents(level);
    levels.push(level);
  }
  return levels;
}

function stepsIn(levels: readonly (readonly Uint8Array[])[], index: number): MerkleStep[] {
  return levels.flatMap((level, height) => {
    const at = Math.floor(index / 2 ** height);
    const isRight = at % 2 === 1;
    const hash = level[isRight ? at - 1 : at + 1];
    return hash ? [{ side: isRight ? ('left' as const) : ('right' as const), hash }] : [];
  });
}

/** The root to which the steps lead from a leaf's bytes. */
export function rootAfterSteps(leaf: Uint8Array, steps: readonly MerkleStep[]): Uint8Array {
  return steps.reduce(
    (node, { side, hash }) => (side === 'left' ? merkleNode(hash, node) : merkleNode(node, hash)),
    merkleLeaf(leaf),
  );
}

export interface MerkleClaim {
  readonly leaf: Uint8Array;
  readonly index: number;
  /** Number of leaves under the root. */
  readonly size: number;
  readonly path: readonly Uint8Array[];
}

export function verifyMerklePath(root: Uint8Array, claim: MerkleClaim): boolean {
  const { index, size } = claim;
  if (!Number.isSafeInteger(size) || !Number.isSafeInteger(index) || index < 0 || index >= size) return false;
  let node = merkleLeaf(claim.leaf);
  let used = 0;
  // No bit operations on sizes: those would cut them to 32 bits.
  for (let at = index, width = size; width > 1; at = Math.floor(at / 2), width = Math.ceil(width / 2)) {
    const isRight = at % 2 === 1;
    if (!isRight && at + 1 >= width) continue;
    const sibling = claim.path[used++];
    if (!sibling) return false;
    node = isRight ? merkleNode(sibling, node) : merkleNode(node, sibling);
  }
  return used === claim.path.length && equalBytes(node, root);
}
