import assert from 'node:assert/strict';
import { it } from 'node:test';
import fc from 'fast-check';
import { Slab } from '#shared/slab.ts';

it('gives every array back as it was, whatever comes behind it', () => {
  const sizes = fc.array(fc.constantFrom(0, 1, 33, 300, 16_384, 16_385, 1_100_000), { maxLength: 200 });
  fc.assert(
    fc.property(sizes, (list) => {
      const slab = new Slab();
      const copies = list.map((size, i) => slab.copy(new Uint8Array(size).fill(i)));
      assert.deepEqual(
        copies.map(({ length }) => length),
        list,
      );
      assert.ok(copies.every((copy, i) => copy.every((byte) => byte === i % 256)));
    }),
    { numRuns: 20 },
  );
});

it('takes a small array over, so that its owner may change it', () => {
  const bytes = Uint8Array.of(1, 2, 3);
  const copy = new Slab().copy(bytes);
  bytes.fill(9);
  assert.deepEqual([...copy], [1, 2, 3]);
});

it('takes room that nothing else uses, and is all zero', () => {
  const slab = new Slab();
  const parts = Array.from({ length: 5_000 }, (_, i) => {
    const part = slab.take(i % 70);
    assert.ok(part.every((byte) => byte === 0));
    return part.fill(1 + (i % 200));
  });
  parts.forEach((part, i) => {
    assert.equal(part.length, i % 70);
    assert.ok(part.every((byte) => byte === 1 + (i % 200)));
  });
});
