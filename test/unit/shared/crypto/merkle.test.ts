import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  merkleLeaf,
  merklePath,
  merkleRoot,
  merkleSteps,
  merkleTree,
  rootAfterSteps,
  verifyMerklePath,
} from '#shared/crypto/merkle.ts';
import { flipBit, readVectors } from '#test/helpers/vectors.ts';

const { trees } = readVectors<{
  trees: { leaves: Uint8Array[]; root: Uint8Array; paths: Uint8Array[][] }[];
}>('merkle');

test('roots and paths are those of RFC 6962', () => {
  for (const { leaves, root, paths } of trees) {
    assert.deepEqual(merkleRoot(leaves), root);
    for (const [index, path] of paths.entries()) {
      assert.deepEqual(merklePath(leaves, index), path);
      assert.ok(verifyMerklePath(root, { leaf: leaves[index]!, index, size: leaves.length, path }));
    }
  }
});

test('a proof holds for nothing else', () => {
  for (const { leaves, root, paths } of trees) {
    const size = leaves.length;
    for (const [index, path] of paths.entries()) {
      const claim = { leaf: leaves[index]!, index, size, path };
      const wrong = [
        { ...claim, leaf: Uint8Array.of(...claim.leaf, 0) },
        { ...claim, index: index + size },
        { ...claim, index: -1 },
        { ...claim, index: index + 0.5 },
        { ...claim, index: Number.NaN },
        { ...claim, path: [...path, root] },
        ...path.map((_, at) => ({ ...claim, path: path.toSpliced(at, 1) })),
        ...path.map((node, at) => ({ ...claim, path: path.with(at, flipBit(node, 77)) })),
        ...leaves.map((_, other) => ({ ...claim, index: other })).filter((_, other) => other !== index),
      ];
      for (const [i, other] of wrong.entries())
        assert.ok(!verifyMerklePath(root, other), `${size} ${index} ${i}`);
    }
  }
});

test('a size beyond 2³² is not cut to 32 bits', () => {
  const leaves = [Uint8Array.of(1), Uint8Array.of(2)];
  const claim = { leaf: leaves[0]!, index: 0, path: merklePath(leaves, 0) };
  assert.ok(verifyMerklePath(merkleRoot(leaves), { ...claim, size: 2 }));
  for (const size of [2 ** 31, 2 ** 32, 2 ** 32 + 1, 2 ** 53 - 1, Number.POSITIVE_INFINITY, Number.NaN])
    assert.ok(!verifyMerklePath(merkleRoot(leaves), { ...claim, size }), String(size));
});

test('a node does not pass for a leaf, nor a leaf for a node', () => {
  const leaves = [Uint8Array.of(1), Uint8Array.of(2)];
  const inner = Uint8Array.of(...merkleLeaf(leaves[0]!), ...merkleLeaf(leaves[1]!));
  assert.notDeepEqual(merkleRoot([inner]), merkleRoot(leaves));
  assert.notDeepEqual(merkleRoot([Uint8Array.of(1, ...inner)]), merkleRoot(leaves));
});

test('property: every leaf has a proof; another order has another root', () => {
  const lists = fc.uniqueArray(fc.uint8Array({ maxLength: 4 }), {
    minLength: 2,
    maxLength: 40,
    selector: (bytes) => bytes.join(),
  });
  fc.assert(
    fc.property(lists, fc.nat(), (leaves, n) => {
      const index = n % leaves.length;
      const root = merkleRoot(leaves);
      const path = merklePath(leaves, index);
      assert.ok(path.length <= Math.ceil(Math.log2(leaves.length)));
      assert.ok(verifyMerklePath(root, { leaf: leaves[index]!, index, size: leaves.length, path }));
      assert.notDeepEqual(merkleRoot([...leaves].reverse()), root);
      assert.notDeepEqual(merkleRoot(leaves.slice(1)), root);
    }),
  );
});

test('the paths of all leaves are those of each, under the same root', () => {
  for (const count of [0, 1, 2, 3, 7, 8, 13]) {
    const leaves = Array.from({ length: count }, (_, i) => Uint8Array.of(i));
    const { root, steps } = merkleTree(leaves);
    assert.deepEqual(root, merkleRoot(leaves));
    assert.deepEqual(
      steps,
      leaves.map((_, i) => merkleSteps(leaves, i)),
    );
    for (const [i, leaf] of leaves.entries()) assert.deepEqual(rootAfterSteps(leaf, steps[i] ?? []), root);
  }
});
