import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  DTYPE_BYTES,
  type Dtype,
  firstNonFinite,
  isDtype,
  tensorBytes,
  toFloat32,
} from '#shared/weights/dtype.ts';

const u16 = (...values: number[]) => new Uint8Array(Uint16Array.from(values).buffer);
const f32 = (...values: number[]) => new Uint8Array(Float32Array.from(values).buffer);

test('every pattern of 16 bits: finite, or found', () => {
  for (let bits = 0; bits < 65_536; bits++) {
    for (const dtype of ['F16', 'BF16'] as const) {
      const bytes = u16(0, bits);
      const finite = Number.isFinite(toFloat32(dtype, bytes)[1]);
      if ((firstNonFinite(dtype, bytes) === -1) !== finite) assert.fail(`${dtype} ${bits.toString(16)}`);
    }
  }
});

test('NaN and infinities in F32 are found at their place; the largest numbers are not', () => {
  for (const bad of [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY])
    for (const at of [0, 1, 4])
      assert.equal(firstNonFinite('F32', f32(...[1, 2, 3, 4, 5].with(at, bad))), at);
  const signalling = new Uint8Array(Uint32Array.of(0x7f800001, 0xff800001).buffer);
  assert.equal(firstNonFinite('F32', signalling), 0);
  assert.equal(firstNonFinite('F32', f32(3.4028234663852886e38, -3.4028234663852886e38, 1e-45, -0)), -1);
  assert.equal(firstNonFinite('F32', new Uint8Array(0)), -1);
});

test('the check needs no alignment', () => {
  const room = new Uint8Array(13);
  room.set(f32(1, Number.NaN, 3), 1);
  assert.equal(firstNonFinite('F32', room.subarray(1)), 1);
  assert.ok(Number.isNaN(toFloat32('F32', room.subarray(1))[1]));
});

test('halves have their values', () => {
  const halves: [number, number][] = [
    [0x0000, 0],
    [0x0001, 2 ** -24],
    [0x03ff, 1023 * 2 ** -24],
    [0x0400, 2 ** -14],
    [0x3c00, 1],
    [0x3555, 0.333251953125],
    [0x7bff, 65_504],
    [0xc000, -2],
  ];
  for (const [bits, value] of halves) assert.equal(toFloat32('F16', u16(bits))[0], value, bits.toString(16));
  assert.deepEqual([...toFloat32('BF16', u16(0x3f80, 0xc040, 0x7f7f))], [1, -3, 3.3895313892515355e38]);
});

test('property: F32 survives; BF16 is the upper half of F32', () => {
  fc.assert(
    fc.property(fc.array(fc.float({ noNaN: true })), (values) => {
      assert.deepEqual([...toFloat32('F32', f32(...values))], values);
      const upper = f32(...values).filter((_, i) => i % 4 >= 2);
      const cut = new Float32Array(
        Uint32Array.from(new Uint32Array(f32(...values).buffer), (b) => (b & 0xffff0000) >>> 0).buffer,
      );
      assert.deepEqual([...toFloat32('BF16', upper)], [...cut]);
    }),
  );
});

test('WEIGHTS_SHAPE: sizes beyond 2⁵³', () => {
  assert.equal(tensorBytes('F32', []), 4);
  assert.equal(tensorBytes('F16', [3, 5]), 30);
  assert.equal(tensorBytes('BF16', [2 ** 26, 2 ** 25]), 2 ** 52);
  for (const shape of [
    [2 ** 51],
    [2 ** 31, 2 ** 31],
    [2 ** 53 - 1, 2 ** 53 - 1],
    new Array(8).fill(2 ** 53 - 1),
  ])
    assert.throws(() => tensorBytes('F32', shape), { code: 'WEIGHTS_SHAPE' }, String(shape));
});

test('dtypes are these and no others', () => {
  assert.deepEqual(Object.keys(DTYPE_BYTES) satisfies string[], ['F32', 'F16', 'BF16'] satisfies Dtype[]);
  for (const other of ['f32', 'F64', 'I8', '', 'toString', '__proto__']) assert.ok(!isDtype(other), other);
});

test('a view of a larger Node buffer is read where it is', () => {
  const all = Buffer.concat([Buffer.from([9]), f32(1.5, -2)]);
  assert.deepEqual([...toFloat32('F32', all.subarray(1))], [1.5, -2]);
  assert.deepEqual([...toFloat32('F32', all.subarray(5))], [-2]);
  assert.deepEqual(toFloat32('BF16', all.subarray(1)).length, 4);
  assert.equal(firstNonFinite('F32', Buffer.concat([Buffer.from([9]), f32(1, Number.NaN)]).subarray(1)), 1);
});
