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

/** Exponent bits of an element, or of two neighbours where two fill a word: all set means NaN or infinite. */
const EXPONENTS = { F32: [0x7f80_0000], F16: [0x7c00, 0x7c00_0000], BF16: [0x7f80, 0x7f80_0000] } as const;

/**
 * Index of the first element of `bytes` that is NaN or infinite, or -1; `bytes` must hold whole little-endian
 * elements. Looks at whole words, at some GiB a second (byte by byte it was a thirtieth of that, measured); bytes
 * that do not lie on a word are copied.
 */
export function firstNonFinite(dtype: Dtype, bytes: Uint8Array): number {
  const aligned = bytes.byteOffset % 4 === 0 ? bytes : new Uint8Array(bytes);
  const words = new Uint32Array(aligned.buffer, aligned.byteOffset, aligned.length >>> 2);
  const [low, high] = EXPONENTS[dtype];
  const at = high === undefined ? firstWith(words, low) : firstWithEither(words, low, high);
  return firstNonFiniteFrom(dtype, bytes, at < 0 ? words.length * 4 : at * 4);
}

function firstWith(words: Uint32Array, mask: number): number {
  for (let i = 0; i < words.length; i++) if (((words[i] as number) & mask) === mask) return i;
  return -1;
}

function firstWithEither(words: Uint32Array, low: number, high: number): number {
  for (let i = 0; i < words.length; i++) {
    const word = words[i] as number;
    if ((word & low) === low || (word & high) === high) return i;
  }
  return -1;
}

/** Element by element from byte `start`: to name the one in a word of two, and for a last half word. */
function firstNonFiniteFrom(dtype: Dtype, bytes: Uint8Array, start: number): number {
  const width = DTYPE_BYTES[dtype];
  const mask = dtype === 'F16' ? 0x7c00 : 0x7f80;
  for (let i = start + width - 2; i < bytes.length; i += width) {
    const high = (bytes[i] as number) | ((bytes[i + 1] as number) << 8);
    if ((high & mask) === mask) return (i - (width - 2)) / width;
  }
  return -1;
}

/** Little-endian bytes of any dtype → f32 values (the one form models compute in). */
export function toFloat32(dtype: Dtype, bytes: Uint8Array): Float32Array {
  // A copy of its own memory: the bytes need not lie on a word, and `slice` of a Node buffer copies nothing.
  const { buffer } = new Uint8Array(bytes);
  if (dtype === 'F32') return new Float32Array(buffer);
  const halves = new Uint16Array(buffer);
  const out = new Float32Array(halves.length);
  const bits = new Uint32Array(out.buffer);
  if (dtype === 'BF16') for (let i = 0; i < halves.length; i++) bits[i] = (halves[i] as number) << 16;
  else for (let i = 0; i < halves.length; i++) out[i] = halfToFloat(halves[i] as number);
  return out;
}

/** 2^(exponent − 15), looked up: with `**` two million elements took 148 ms, so they take 10 (measured). */
const HALF_SCALES = Float64Array.from({ length: 31 }, (_, exponent) => 2 ** (Math.max(exponent, 1) - 15));

/** The value of a float16 with these bits. */
export function halfToFloat(half: number): number {
  const sign = half & 0x8000 ? -1 : 1;
  const exponent = (half >> 10) & 0x1f;
  const fraction = half & 0x3ff;
  if (exponent === 0x1f) return fraction ? Number.NaN : sign * Number.POSITIVE_INFINITY;
  const leading = exponent === 0 ? 0 : 1; // the smallest ones have no leading 1
  return sign * (leading + fraction / 1024) * (HALF_SCALES[exponent] as number);
}
