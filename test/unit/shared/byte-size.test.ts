import assert from 'node:assert/strict';
import { it } from 'node:test';
import { parseByteSize } from '#shared/byte-size.ts';

it('reads sizes with and without a unit', () => {
  const sizes = ['2GiB', '1.5 gb', '500000', ' 64MiB ', '0'].map(parseByteSize);
  assert.deepEqual(sizes, [2 ** 31, 1.5e9, 500_000, 2 ** 26, 0]);
});

it('is undefined for anything else', () => {
  for (const text of ['', 'GiB', '-1', '2 G', '1e9', '2GiBs', '0x10', 'NaN', '1,5GB', '__proto__'])
    assert.equal(parseByteSize(text), undefined, text);
});
