import { must } from '#shared/errors/pool-error.ts';

/** The dtypes a payload may have, and their bytes per element. */
export const DTYPE_BYTES = { F32: 4, F16: 2, BF16: 2 } as const;
export type Dtype = keyof typeof DTYPE_BYTES;

export function isDtype(text: string): text is Dtype {
  return Object.hasOwn(DTYPE_BYTES, text);
}

/** Bytes of a tensor; a shape whose product overflows 2⁵³ is refused. */
export function tensorBytes(dtype: Dtype, shape: readonly number[]): number {
  const elements = shape.reduce((product, n) => product * n, 1);
  const bytes = elements * DTYPE_BYTES[dtype];
  must(
    Number.isSafeInteger(bytes),
    'WEIGHTS_SHAPE',
    () => `shape [${shape.join(', ')}] is larger than 2^53 bytes`,
  );
  return bytes;
}

/**
 * Index of the first element of `bytes` that is NaN or infinite, or -1. Works on the exponent bits, so it
 * needs no alignment and no conversion; `bytes` must hold whole little-endian elements.
 */
export function firstNonFinite(dtype: Dtype, bytes: Uint8Array): number {
  const width = DTYPE_BYTES[dtype];
  for (let i = width - 2; i < bytes.length; i += width) {
    const high = (bytes[i] as number) | ((bytes[i + 1] as number) << 8);
    const mask = dtype === 'F16' ? 0x7c00 : 0x7f80;
    if ((high & mask) === mask) return (i - (width - 2)) / width;
  }
  return -1;
}

/** Little-endian bytes of any dtype → f32 values (the one form models compute in). */
export function toFloat32(dtype: Dtype, bytes: Uint8Array): Float32Array {
  if (dtype === 'F32') return new Float32Array(bytes.slice().buffer);
  const halves = new Uint16Array(bytes.slice().buffer);
  const out = new Float32Array(halves.length);
  const bits = new Uint32Array(out.buffer);
  if (dtype === 'BF16') for (let i = 0; i < halves.length; i++) bits[i] = (halves[i] as number) << 16;
  else for (let i = 0; i < halves.length; i++) out[i] = halfToFloat(halves[i] as number);
  return out;
}

function halfToFloat(half: number): number {
  const sign = half & 0x8000 ? -1 : 1;
  const exponent = (half >> 10) & 0x1f;
  const fraction = half & 0x3ff;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 0x1f) return fraction ? Number.NaN : sign * Number.POSITIVE_INFINITY;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}
