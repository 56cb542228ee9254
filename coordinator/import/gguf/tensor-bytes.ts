import type { GgufTensor } from '#coordinator/import/gguf/read-header.ts';
import type { WeightsFile } from '#coordinator/import/weights-file.ts';
import { DTYPE_BYTES } from '#shared/weights/dtype.ts';

/** Bytes of output per piece, and of a transposed matrix that are collected in one pass over the file. */
const PIECE_BYTES = 1024 * 1024;
const STRIP_BYTES = 64 * 1024 * 1024;

/** What a GGUF file does to a tensor of the checkpoint that it was made of, to be undone. */
export type Layout =
  | { readonly kind: 'same' }
  /** Of an input-by-output matrix it holds the transpose. */
  | { readonly kind: 'transposed' }
  /** Of each head's D rows, the halves of the rotation alternate: row 2·j + i stands for row i·D/2 + j. */
  | { readonly kind: 'interleaved'; readonly heads: number };

/** Shape of the tensor once the layout is undone. */
export function shapeOf({ shape }: GgufTensor, { kind }: Layout): readonly number[] {
  return kind === 'transposed' ? [...shape].reverse() : shape;
}

/** The tensor's bytes in its dtype on the chain, with the layout undone. */
export function tensorStream(
  file: Pick<WeightsFile, 'read'>,
  tensor: GgufTensor,
  layout: Layout,
  stripBytes = STRIP_BYTES,
): AsyncIterable<Uint8Array> {
  const plain = () => decoded(file.read(tensor.start, tensor.end), tensor);
  const elementBytes = DTYPE_BYTES[tensor.type.dtype];
  const rowBytes = (tensor.shape.at(-1) as number) * elementBytes;
  switch (layout.kind) {
    case 'same':
      return plain();
    case 'interleaved':
      return deinterleaved(plain(), interleavedRows(tensor, layout.heads, elementBytes));
    case 'transposed':
      return transposed(plain, { rows: tensor.shape[0] as number, rowBytes, elementBytes, stripBytes });
  }
}

/** A vector's elements are its rows. */
function interleavedRows({ shape }: GgufTensor, heads: number, elementBytes: number) {
  const rowBytes = shape.slice(1).reduce((bytes, n) => bytes * n, elementBytes);
  return { headRows: (shape[0] as number) / heads, rowBytes };
}

async function* decoded(source: AsyncIterable<Uint8Array>, { type }: GgufTensor): AsyncGenerator<Uint8Array> {
  const { decode, blockBytes, blockElements } = type;
  const blocksPerPiece = Math.floor(PIECE_BYTES / (blockElements * DTYPE_BYTES[type.dtype]));
  for await (const bytes of regrouped(source, blocksPerPiece * blockBytes)) {
    if (decode === null) {
      yield bytes;
      continue;
    }
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    const blocks = bytes.length / blockBytes;
    const values = new Float32Array(blocks * blockElements);
    for (let i = 0; i < blocks; i++) decode(view, i * blockBytes, values, i * blockElements);
    yield littleEndian(values);
  }
}

/** Float32 as bytes; the arrays of every machine that Node runs on here are little-endian already. */
function littleEndian(values: Float32Array): Uint8Array {
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
}

/** The same bytes in groups of `size`, the last one maybe shorter. */
async function* regrouped(source: AsyncIterable<Uint8Array>, size: number): AsyncGenerator<Uint8Array> {
  let group = new Uint8Array(size);
  let filled = 0;
  for await (const piece of source)
    for (let at = 0; at < piece.length; ) {
      const part = piece.subarray(at, at + size - filled);
      group.set(part, filled);
      filled += part.length;
      at += part.length;
      if (filled < size) continue;
      yield group;
      group = new Uint8Array(size);
      filled = 0;
    }
  if (filled > 0) yield group.subarray(0, filled);
}

/** Head by head: a head's rows are some megabytes at most. */
async function* deinterleaved(
  source: AsyncIterable<Uint8Array>,
  { headRows, rowBytes }: { headRows: number; rowBytes: number },
): AsyncGenerator<Uint8Array> {
  const half = headRows / 2;
  for await (const head of regrouped(source, headRows * rowBytes)) {
    const out = new Uint8Array(head.length);
    for (let row = 0; row < headRows; row++) {
      const to = (row % 2) * half + Math.floor(row / 2);
      out.set(head.subarray(row * rowBytes, (row + 1) * rowBytes), to * rowBytes);
    }
    yield out;
  }
}

interface MatrixBytes {
  readonly rows: number;
  readonly rowBytes: number;
  readonly elementBytes: number;
  readonly stripBytes: number;
}

/** [rows, columns] → [columns, rows]: so many columns in one pass over the source that they fit a strip. */
async function* transposed(
  source: () => AsyncIterable<Uint8Array>,
  { rows, rowBytes, elementBytes, stripBytes }: MatrixBytes,
): AsyncGenerator<Uint8Array> {
  const columns = rowBytes / elementBytes;
  const stripColumns = Math.max(1, Math.floor(stripBytes / (rows * elementBytes)));
  for (let first = 0; first < columns; first += stripColumns) {
    const width = Math.min(stripColumns, columns - first);
    const strip = new Uint8Array(width * rows * elementBytes);
    let row = 0;
    for await (const bytes of regrouped(source(), rowBytes)) {
      const values = bytes.subarray(first * elementBytes, (first + width) * elementBytes);
      for (let column = 0; column < width; column++)
        for (let byte = 0; byte < elementBytes; byte++)
          strip[(column * rows + row) * elementBytes + byte] = values[column * elementBytes + byte] as number;
      row++;
    }
    for (let at = 0; at < strip.length; at += PIECE_BYTES) yield strip.subarray(at, at + PIECE_BYTES);
  }
}
