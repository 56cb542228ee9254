import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hexToBytes } from '@noble/hashes/utils.js';
import fc from 'fast-check';
import { z } from 'zod';
import {
  type CborValue,
  decodeCbor,
  decodeCborAs,
  encodeCbor,
  zBigUint,
  zBytes,
  zUint,
} from '#shared/block/cbor.ts';
import { toHex } from '#shared/crypto/bytes.ts';

/** From RFC 8949, appendix A. */
const EXAMPLES: [CborValue, string][] = [
  [0, '00'],
  [23, '17'],
  [24, '1818'],
  [1000, '1903e8'],
  [1_000_000_000_000, '1b000000e8d4a51000'],
  [18446744073709551615n, '1bffffffffffffffff'],
  [-1, '20'],
  [-1000, '3903e7'],
  [false, 'f4'],
  [null, 'f6'],
  [hexToBytes('01020304'), '4401020304'],
  ['', '60'],
  ['ü', '62c3bc'],
  ['𐅑', '64f0908591'],
  [[1, [2, 3], [4, 5]], '8301820203820405'],
  [{ a: 1, b: [2, 3] }, 'a26161016162820203'],
];

test('the examples of RFC 8949, both ways', () => {
  for (const [value, hex] of EXAMPLES) {
    assert.equal(toHex(encodeCbor(value)), hex);
    assert.deepEqual(decodeCbor(hexToBytes(hex)), value);
  }
});

const REFUSED: [string, string][] = [
  ['no bytes', ''],
  ['two items', '0000'],
  ['an integer longer than needed', '1800'],
  ['an integer of two bytes for one', '190018'],
  ['a text length longer than needed', '780161'],
  ['a half float', 'f93c00'],
  ['a double', 'fb3ff0000000000000'],
  ['not a number', 'f97e00'],
  ['infinity', 'f97c00'],
  ['minus zero', 'f98000'],
  ['undefined', 'f7'],
  ['a simple value', 'f8ff'],
  ['a tag', 'c100'],
  ['a tagged big number', 'c249010000000000000000'],
  ['an indefinite text', '7f6161ff'],
  ['an indefinite list', '9f01ff'],
  ['an indefinite map', 'bf616101ff'],
  ['keys in another order', 'a26162026161 01'.replace(' ', '')],
  ['a longer key before a shorter one', 'a262616101616202'],
  ['a repeated key', 'a2616101616102'],
  ['a key that is a number', 'a10102'],
  ['a key that is bytes', 'a1416101'],
  ['a text that is not UTF-8', '62c328'],
  ['a text of half a surrogate pair', '63eda080'],
  ['a list that ends early', '8201'],
  ['a list of 2⁶⁴ − 1 items', '9bffffffffffffffff'],
  ['bytes that end early', '5affffffff00'],
];
for (const [what, hex] of REFUSED) {
  test(`BLOCK_ENCODING: ${what}`, () => {
    assert.throws(() => decodeCbor(hexToBytes(hex)), { code: 'BLOCK_ENCODING' });
  });
}

test('BLOCK_ENCODING: a million levels deep', () => {
  assert.throws(() => decodeCbor(new Uint8Array(1_000_000).fill(0x81)), { code: 'BLOCK_ENCODING' });
});

test('BLOCK_ENCODING: a float cannot be written', () => {
  for (const value of [1.5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 53, 1e300])
    assert.throws(() => encodeCbor([value]), { code: 'BLOCK_ENCODING' }, String(value));
});

test('BLOCK_ENCODING: an integer beyond 64 bits cannot be written', () => {
  for (const value of [2n ** 64n, -(2n ** 64n) - 1n])
    assert.throws(() => encodeCbor(value), { code: 'BLOCK_ENCODING' }, String(value));
});

test('minus zero is written as zero', () => {
  assert.equal(toHex(encodeCbor(-0)), '00');
});

const texts = fc.string({ unit: 'grapheme', maxLength: 40 }).filter((text) => text !== '__proto__');
const values = fc.letrec<{ value: CborValue }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 4 },
    fc.constant(null),
    fc.boolean(),
    fc.maxSafeInteger().map((n) => (n === 0 ? 0 : n)),
    fc.bigInt({ min: 2n ** 53n, max: 2n ** 64n - 1n }),
    fc.uint8Array(),
    texts,
    fc.array(tie('value'), { maxLength: 5 }),
    fc.dictionary(texts, tie('value'), { maxKeys: 5, noNullPrototype: true }),
  ),
})).value;

test('property: values survive; a bigint that fits a number has the number’s bytes', () => {
  fc.assert(fc.property(values, (value) => assert.deepEqual(decodeCbor(encodeCbor(value)), value)));
  fc.assert(fc.property(fc.maxSafeInteger(), (n) => assert.deepEqual(encodeCbor(BigInt(n)), encodeCbor(n))));
});

test('property: bytes are refused, or are the one encoding of what they mean', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 30 }), (bytes) => {
      let value: unknown;
      try {
        value = decodeCbor(bytes);
      } catch (error) {
        assert.equal((error as { code?: string }).code, 'BLOCK_ENCODING');
        return;
      }
      assert.deepEqual(encodeCbor(value as CborValue), bytes);
    }),
    { numRuns: 2000 },
  );
});

test('BLOCK_ENCODING: what a schema does not take, with the place and a short message', () => {
  const schema = z.strictObject({ a: zBytes(2), n: zUint });
  const bytes = encodeCbor({ a: Uint8Array.of(1), n: 1 });
  assert.throws(() => decodeCborAs(schema, bytes, 'Thing'), {
    code: 'BLOCK_ENCODING',
    message: 'Thing: a: expected 2 bytes',
  });
  const many = Object.fromEntries(Array.from({ length: 5000 }, (_, i) => [`key ${i}`, i]));
  assert.throws(
    () => decodeCborAs(schema, encodeCbor(many), 'Thing'),
    (error: Error) => error.message.length < 500,
  );
});

test('amounts are read from either form of integer', () => {
  const read = (value: CborValue) =>
    decodeCborAs(zBigUint as unknown as z.ZodType<bigint>, encodeCbor(value), 'Amount');
  assert.equal(read(7), 7n);
  assert.equal(read(2n ** 64n - 1n), 2n ** 64n - 1n);
  assert.throws(() => read(-1), { code: 'BLOCK_ENCODING' });
});
