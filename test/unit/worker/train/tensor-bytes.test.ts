import assert from 'node:assert/strict';
import { it } from 'node:test';
import { toFloat32 } from '#shared/weights/dtype.ts';
import { toBytes } from '#worker/train/tensor-bytes.ts';

it('every 16-bit value survives the way through float32', () => {
  for (const dtype of ['F16', 'BF16'] as const) {
    const all = new Uint8Array(Uint16Array.from({ length: 65_536 }, (_, i) => i).buffer);
    const values = toFloat32(dtype, all);
    const back = new Uint16Array(toBytes(dtype, values).slice().buffer);
    for (let i = 0; i < 65_536; i++) {
      if (Number.isNaN(values[i]))
        assert.ok(Number.isNaN(toFloat32(dtype, toBytes(dtype, values.slice(i, i + 1)))[0]));
      else assert.equal(back[i], i, `${dtype} ${i}`);
    }
  }
});

it('rounds to nearest, ties to even', () => {
  const half = (value: number) => toFloat32('F16', toBytes('F16', Float32Array.of(value)))[0];
  assert.equal(half(1 + 2 ** -11), 1);
  assert.equal(half(1 + 3 * 2 ** -11), 1 + 2 ** -9);
  assert.equal(half(65_519), 65_504);
  assert.equal(half(65_520), Number.POSITIVE_INFINITY);
  assert.equal(half(2 ** -25), 0);
  assert.equal(half(3 * 2 ** -26), 2 ** -24);
  const brain = (value: number) => toFloat32('BF16', toBytes('BF16', Float32Array.of(value)))[0];
  assert.equal(brain(1 + 2 ** -8), 1);
  assert.equal(brain(1 + 3 * 2 ** -8), 1 + 2 ** -6);
});

it('float32 stays as it is', () => {
  const values = Float32Array.of(1.1, -0, 3e-40);
  assert.deepEqual(toFloat32('F32', toBytes('F32', values)), values);
});
