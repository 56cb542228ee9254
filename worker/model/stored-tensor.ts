import { DTYPE_BYTES, type Dtype, toFloat32 } from '#shared/weights/dtype.ts';

/** Bytes that are not in memory: a file, or a part of one. */
export interface BytesFile {
  readonly length: number;
  /** Fills `into` with the bytes from `at` on. */
  read(into: Uint8Array, at: number): Promise<void>;
  close(): Promise<void>;
}

/** A tensor as it is stored: little-endian values of its dtype. */
export interface StoredTensor {
  readonly name: string;
  readonly dtype: Dtype;
  readonly bytes: Uint8Array;
}

/** The same in a file. Who takes it closes it. */
export interface TensorFile extends Omit<StoredTensor, 'bytes'> {
  readonly bytes: BytesFile;
}

export type AnyTensor = StoredTensor | TensorFile;

/** Tensors that come one after another, so that no more than one need be in memory twice. */
export type TensorSource = Iterable<AnyTensor> | AsyncIterable<AnyTensor>;

/** Large enough for the disk, small enough that some of them are nothing beside a model. */
const PIECE_BYTES = 1024 * 1024;
/** Read ahead of the one that is converted: the threads that read do not wait for the one that computes. */
const PIECES_AHEAD = 4;

/** Values of a model as a source. */
export function* fromValues(values: ReadonlyMap<string, Float32Array>): Generator<StoredTensor> {
  for (const [name, { buffer, byteOffset, byteLength }] of values) {
    yield { name, dtype: 'F32', bytes: new Uint8Array(buffer, byteOffset, byteLength) };
  }
}

export async function closeTensor({ bytes }: AnyTensor): Promise<void> {
  if (!(bytes instanceof Uint8Array)) await bytes.close();
}

/** Which values of a tensor, and where they go: `room` is asked anew for each piece, since memory may have moved. */
export interface FloatsWanted {
  readonly start: number;
  readonly count: number;
  room(at: number, count: number): Float32Array;
  /** The room does not move, so that a file of f32 can be read right into it. */
  readonly fixed?: boolean;
}

/** Converts values of a stored tensor to f32, piece by piece. */
export async function readFloats({ dtype, bytes }: AnyTensor, wanted: FloatsWanted): Promise<void> {
  const width = DTYPE_BYTES[dtype];
  const { start, count, room } = wanted;
  if (bytes instanceof Uint8Array) {
    toFloats(dtype, bytes.subarray(start * width, (start + count) * width), room(0, count));
    return;
  }
  const step = PIECE_BYTES / width;
  const pieces = Math.ceil(count / step);
  const direct = wanted.fixed === true && dtype === 'F32';
  const begin = (piece: number) => {
    const [first, values] = [piece * step, Math.min(step, count - piece * step)];
    const at = (start + first) * width;
    const reading = direct
      ? bytes.read(bytesOf(room(first, values)), at)
      : readPiece(bytes, { at, length: values * width });
    reading.catch(() => {}); // told where it is awaited, unless one before it failed
    return reading;
  };
  const reads = Array.from({ length: Math.min(PIECES_AHEAD, pieces) }, (_, piece) => begin(piece));
  for (let piece = 0; piece < pieces; piece++) {
    const got = await reads.shift();
    if (piece + PIECES_AHEAD < pieces) reads.push(begin(piece + PIECES_AHEAD));
    if (!got) continue; // it is where it belongs
    toFloats(dtype, got, room(piece * step, got.length / width));
    giveBack(got);
  }
}

async function readPiece(
  file: BytesFile,
  { at, length }: { at: number; length: number },
): Promise<Uint8Array> {
  const into = (spare.pop() ?? new Uint8Array(PIECE_BYTES)).subarray(0, length);
  try {
    await file.read(into, at);
    return into;
  } catch (error) {
    giveBack(into);
    throw error;
  }
}

/** Buffers to read into: fresh memory for each piece takes as long as reading it (measured). */
const spare: Uint8Array[] = [];
const MOST_SPARE = 64;

function giveBack({ buffer }: Uint8Array): void {
  if (spare.length < MOST_SPARE) spare.push(new Uint8Array(buffer));
}

/** Little-endian bytes → f32, into `out`. */
function toFloats(dtype: Dtype, bytes: Uint8Array, out: Float32Array): void {
  if (dtype === 'F32') {
    bytesOf(out).set(bytes);
    return;
  }
  const aligned = bytes.byteOffset % 2 === 0 ? bytes : bytes.slice();
  const halves = new Uint16Array(aligned.buffer, aligned.byteOffset, out.length);
  if (dtype === 'F16') {
    const table = halfTable();
    for (let i = 0; i < out.length; i++) out[i] = table[halves[i] as number] as number;
    return;
  }
  const bits = new Uint32Array(out.buffer, out.byteOffset, out.length);
  for (let i = 0; i < out.length; i++) bits[i] = (halves[i] as number) << 16;
}

const bytesOf = ({ buffer, byteOffset, byteLength }: Float32Array) =>
  new Uint8Array(buffer, byteOffset, byteLength);

let halves: Float32Array | undefined;

/** The value of every IEEE half: looking it up takes a nanosecond, computing it twenty. */
function halfTable(): Float32Array {
  halves ??= toFloat32('F16', new Uint8Array(Uint16Array.from({ length: 2 ** 16 }, (_, i) => i).buffer));
  return halves;
}
