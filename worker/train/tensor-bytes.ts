import { type Dtype, tensorBytes } from '#shared/weights/dtype.ts';

/** f32 values → little-endian bytes of any dtype, rounded to nearest, ties to even. The reverse of `toFloat32`. */
export function toBytes(dtype: Dtype, values: Float32Array): Uint8Array {
  if (dtype === 'F32') return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length);
  const out = new Uint8Array(tensorBytes(dtype, [values.length]));
  const view = new DataView(out.buffer);
  const round = dtype === 'BF16' ? brainBits : halfBits;
  for (let i = 0; i < bits.length; i++) view.setUint16(2 * i, round(bits[i] as number), true);
  return out;
}

/** Float32 bits → bfloat16 bits: the upper half. */
function brainBits(bits: number): number {
  if ((bits & 0x7fff_ffff) > 0x7f80_0000) return (bits >>> 16) | 0x40; // NaN stays NaN
  return ((bits + 0x7fff + ((bits >>> 16) & 1)) / 0x1_0000) & 0xffff;
}

/** Float32 bits → IEEE half bits, with subnormals; too large becomes infinite. */
function halfBits(bits: number): number {
  const sign = (bits >>> 16) & 0x8000;
  const magnitude = bits & 0x7fff_ffff;
  if (magnitude > 0x7f80_0000) return sign | 0x7e00;
  if (magnitude >= 0x4780_0000) return sign | 0x7c00;
  if (magnitude >= 0x3880_0000) return sign | shiftEven(magnitude - 0x3800_0000, 13);
  if (magnitude < 0x3300_0000) return sign;
  const fraction = (magnitude & 0x7f_ffff) | 0x80_0000;
  return sign | shiftEven(fraction, 126 - (magnitude >>> 23));
}

/** value / 2^by, rounded to nearest, ties to even. */
function shiftEven(value: number, by: number): number {
  const kept = value >>> by;
  const rest = value & (2 ** by - 1);
  const half = 2 ** (by - 1);
  return rest > half || (rest === half && (kept & 1) === 1) ? kept + 1 : kept;
}
