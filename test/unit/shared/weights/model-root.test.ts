import assert from 'node:assert/strict';
import { test } from 'node:test';
import { modelRoot, sortByName, type TensorRef } from '#shared/weights/model-root.ts';
import { readVectors } from '#test/helpers/vectors.ts';

const { models } = readVectors<{ models: { tensors: TensorRef[]; root: Uint8Array }[] }>('model-root');

test('roots are those of the vectors, in any order of the tensors', () => {
  for (const { tensors, root } of models) {
    assert.deepEqual(modelRoot(tensors), root);
    assert.deepEqual(modelRoot([...tensors].reverse()), root);
  }
});

test('names sort by their UTF-8 bytes, not by UTF-16', () => {
  const sorted = sortByName([
    { name: '\u{1f600}' },
    { name: '\ue000' },
    { name: 'é' },
    { name: 'a.b' },
    { name: 'ab' },
  ]);
  assert.deepEqual(
    sorted.map(({ name }) => name),
    ['a.b', 'ab', 'é', '\ue000', '\u{1f600}'],
  );
});

test('the root depends on every field of every tensor', () => {
  const { tensors, root } = models.at(-1)!;
  for (const [i, tensor] of tensors.entries()) {
    const others: TensorRef[] = [
      { ...tensor, name: `${tensor.name}x` },
      { ...tensor, dtype: tensor.dtype === 'F32' ? 'F16' : 'F32' },
      { ...tensor, shape: [...tensor.shape, 1] },
      { ...tensor, payloadHash: new Uint8Array(32).fill(255) },
    ];
    for (const other of others) assert.notDeepEqual(modelRoot(tensors.with(i, other)), root);
  }
});
