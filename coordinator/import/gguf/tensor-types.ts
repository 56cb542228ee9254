import { type Dtype, halfToFloat } from '#shared/weights/dtype.ts';

/** How a GGUF file stores elements: in blocks of so many, each of so many bytes. */
export interface TensorType {
  readonly name: string;
  readonly blockElements: number;
  readonly blockBytes: number;
  /** What it becomes on the chain. */
  readonly dtype: Dtype;
  /** Writes a block's elements as float32; `null` where the bytes stay as they are. */
  readonly decode: ((block: DataView, at: number, out: Float32Array, to: number) => void) | null;
}

const plain = (name: Dtype, bytes: number): TensorType => ({
  name,
  blockElements: 1,
  blockBytes: bytes,
  dtype: name,
  decode: null,
});
/** Elements of a block of the simple kinds. */
const QK = 32;

/** By the number that stands in the file (ggml's `ggml_type`). Everything else is refused by name. */
export const TENSOR_TYPES: ReadonlyMap<number, TensorType> = new Map([
  [0, plain('F32', 4)],
  [1, plain('F16', 2)],
  [30, plain('BF16', 2)],
  [2, { name: 'Q4_0', blockElements: QK, blockBytes: 18, dtype: 'F32', decode: decodeQ4_0 }],
  [3, { name: 'Q4_1', blockElements: QK, blockBytes: 20, dtype: 'F32', decode: decodeQ4_1 }],
  [8, { name: 'Q8_0', blockElements: QK, blockBytes: 34, dtype: 'F32', decode: decodeQ8_0 }],
  // Not a kind of file that one makes, but what files of Q4_0 and Q4_1 hold their heads in.
  [14, { name: 'Q6_K', blockElements: 256, blockBytes: 210, dtype: 'F32', decode: decodeQ6_K }],
]);

/** Scale d (float16), then 16 bytes of two 4-bit numbers: the low halves first, then the high ones. (q − 8)·d */
function decodeQ4_0(block: DataView, at: number, out: Float32Array, to: number): void {
  const d = halfToFloat(block.getUint16(at, true));
  for (let i = 0; i < 16; i++) {
    const pair = block.getUint8(at + 2 + i);
    out[to + i] = ((pair & 15) - 8) * d;
    out[to + 16 + i] = ((pair >> 4) - 8) * d;
  }
}

/** Scale d and minimum m (float16), then as Q4_0. q·d + m */
function decodeQ4_1(block: DataView, at: number, out: Float32Array, to: number): void {
  const d = halfToFloat(block.getUint16(at, true));
  const m = halfToFloat(block.getUint16(at + 2, true));
  for (let i = 0; i < 16; i++) {
    const pair = block.getUint8(at + 4 + i);
    // A product of 11 and 4 bits is exact, so only the sum is rounded, as in float32.
    out[to + i] = (pair & 15) * d + m;
    out[to + 16 + i] = (pair >> 4) * d + m;
  }
}

/** Scale d (float16), then 32 signed bytes. q·d */
function decodeQ8_0(block: DataView, at: number, out: Float32Array, to: number): void {
  const d = halfToFloat(block.getUint16(at, true));
  for (let i = 0; i < QK; i++) out[to + i] = block.getInt8(at + 2 + i) * d;
}

/**
 * The low 4 bits of 256 numbers (128 bytes), their high 2 bits (64 bytes), a signed byte of scale per 16 numbers, and
 * a scale d (float16) of all. Numbers stand by 128: each byte of low bits serves two that lie 64 apart, each byte of
 * high bits four that lie 32 apart. (q − 32)·scale·d
 */
function decodeQ6_K(block: DataView, at: number, out: Float32Array, to: number): void {
  const d = halfToFloat(block.getUint16(at + 208, true));
  for (let i = 0; i < 256; i++) {
    const half = i >> 7;
    const place = i & 127;
    const lowByte = block.getUint8(at + 64 * half + (place & 63));
    const highByte = block.getUint8(at + 128 + 32 * half + (place & 31));
    const low = place < 64 ? lowByte & 15 : lowByte >> 4;
    const high = (highByte >> (2 * (place >> 5))) & 3;
    out[to + i] = ((low | (high << 4)) - 32) * block.getInt8(at + 192 + (i >> 4)) * d;
  }
}
