import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  bigintFromBytes,
  compareBytes,
  equalBytes,
  fromHex,
  isZero,
  readU64be,
  toHex,
  u64be,
  u256be,
} from '#shared/crypto/bytes.ts';

test('property: hex and 64-bit numbers survive', () => {
  fc.assert(fc.property(fc.uint8Array(), (b) => assert.deepEqual(fromHex(toHex(b), b.length), b)));
  fc.assert(
    fc.property(fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }), (n) => {
      assert.equal(readU64be(u64be(n)), n);
      assert.equal(bigintFromBytes(u64be(n)), n);
    }),
  );
  fc.assert(
    fc.property(fc.oneof(fc.maxSafeNat(), fc.constantFrom(2 ** 32 - 1, 2 ** 32, 2 ** 53 - 1)), (n) => {
      assert.deepEqual(u64be(n), u64be(BigInt(n)));
    }),
  );
  assert.equal(bigintFromBytes(new Uint8Array(0)), 0n);
  assert.throws(() => u64be(0.5), RangeError);
});

test('property: numbers of any width survive, and those of 256 bits in 32 bytes', () => {
  fc.assert(
    fc.property(fc.bigInt({ min: 0n, max: 2n ** 256n - 1n }), (n) => {
      assert.equal(toHex(u256be(n)), n.toString(16).padStart(64, '0'));
      assert.equal(bigintFromBytes(u256be(n)), n);
    }),
  );
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => {
      assert.equal(bigintFromBytes(bytes), BigInt(`0x0${toHex(bytes)}`));
    }),
  );
  for (const n of [-1n, 2n ** 256n]) assert.throws(() => u256be(n), { code: 'INTERNAL' });
});

test('BAD_REQUEST: upper case, a prefix, blanks, another length, other digits', () => {
  for (const text of ['AB', '0xab', 'a', 'abc', ' ab', 'ab ', 'g0', 'ab\n', '', 'ａｂ'])
    assert.throws(() => fromHex(text, 1), { code: 'BAD_REQUEST' }, JSON.stringify(text));
});

test('bytes are compared by content, and ordered byte by byte', () => {
  const [a, b, c] = [Uint8Array.of(1), Uint8Array.of(1, 0), Uint8Array.of(2)];
  assert.ok(equalBytes(b, b.slice()) && !equalBytes(a, b) && !equalBytes(a, c));
  assert.ok(compareBytes(a, b) < 0 && compareBytes(c, b) > 0 && compareBytes(a, a) === 0);
  assert.ok(isZero(new Uint8Array(32)) && !isZero(b));
});
