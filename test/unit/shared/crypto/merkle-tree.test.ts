import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { merkleLeaf, merklePath, merkleRoot, verifyMerklePath } from '#shared/crypto/merkle.ts';
import {
  EMPTY_TREE,
  growTree,
  pathPlaces,
  peakPlaces,
  rootOfPeaks,
  type TreePlace,
} from '#shared/crypto/merkle-tree.ts';
import { readVectors } from '#test/helpers/vectors.ts';

const { trees } = readVectors<{ trees: { leaves: Uint8Array[]; root: Uint8Array }[] }>('merkle');
const nameOf = ({ level, index }: TreePlace) => `${level}/${index}`;

/** A tree grown in pieces, with all its nodes by their place. */
function grown(leaves: readonly Uint8Array[], piece: number) {
  const nodes = new Map(leaves.map((leaf, index) => [nameOf({ level: 0, index }), merkleLeaf(leaf)]));
  let tree = EMPTY_TREE;
  for (let at = 0; at < leaves.length; at += piece) {
    const next = growTree(tree, leaves.slice(at, at + piece));
    for (const node of next.nodes) {
      assert.ok(node.level > 0 && !nodes.has(nameOf(node)), 'a node is made once');
      nodes.set(nameOf(node), node.hash);
    }
    tree = next.tree;
  }
  return { tree, nodes };
}

test('a tree that grows has the roots of the vectors', () => {
  for (const { leaves, root } of trees)
    for (const piece of [1, 3, 100]) {
      const { tree } = grown(leaves, piece);
      assert.equal(tree.size, leaves.length);
      assert.deepEqual(rootOfPeaks(tree.peaks), root);
    }
});

test('property: from the kept nodes come the root and every path of every size that the tree ever had', () => {
  const lists = fc.array(fc.uint8Array({ maxLength: 3 }), { minLength: 1, maxLength: 70 });
  fc.assert(
    fc.property(lists, fc.nat(), fc.nat(), fc.integer({ min: 1, max: 9 }), (all, m, n, piece) => {
      const { nodes } = grown(all, piece);
      const hashOf = (places: TreePlace[]) =>
        rootOfPeaks(places.map((place) => nodes.get(nameOf(place)) as Uint8Array));
      const leaves = all.slice(0, 1 + (m % all.length));
      const size = leaves.length;
      const index = n % size;
      assert.deepEqual(hashOf(peakPlaces(size)), merkleRoot(leaves));
      const path = pathPlaces(index, size).map(hashOf);
      assert.deepEqual(path, merklePath(leaves, index));
      assert.ok(verifyMerklePath(merkleRoot(leaves), { leaf: leaves[index]!, index, size, path }));
    }),
  );
});

test('sizes beyond 32 bits', () => {
  const size = 2 ** 52 + 2 ** 33 + 1;
  assert.deepEqual(peakPlaces(size), [
    { level: 52, index: 0 },
    { level: 33, index: 2 ** 19 },
    { level: 0, index: size - 1 },
  ]);
  const reads = pathPlaces(2 ** 40, size).flat().length;
  assert.ok(reads < 60, `${reads} nodes`);
});
