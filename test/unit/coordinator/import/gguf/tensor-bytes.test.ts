import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { hexToBytes } from '@noble/hashes/utils.js';
import { type Layout, shapeOf, tensorStream } from '#coordinator/import/gguf/tensor-bytes.ts';
import { TENSOR_TYPES, type TensorType } from '#coordinator/import/gguf/tensor-types.ts';
import { collectBytes } from '#shared/crypto/bytes.ts';
import { repositoryPath } from '#test/helpers/repository.ts';

const typeOf = (name: string) => [...TENSOR_TYPES.values()].find((type) => type.name === name) as TensorType;

/** A file of these bytes, read in pieces of `piece`. */
const fileOf = (bytes: Uint8Array, piece = 5) => ({
  async *read(start: number, end: number) {
    for (let at = start; at < end; at += piece) yield bytes.slice(at, Math.min(end, at + piece));
  },
});

async function floats(shape: number[], layout: Layout, stripBytes?: number): Promise<number[]> {
  const values = Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => i);
  const bytes = new Uint8Array(values.buffer);
  const tensor = { name: 'x', shape, type: typeOf('F32'), start: 0, end: bytes.length };
  const out = await collectBytes(tensorStream(fileOf(bytes), tensor, layout, stripBytes));
  return [...new Float32Array(out.slice().buffer)];
}

const BLOCKS = JSON.parse(
  readFileSync(repositoryPath('test/vectors/models/gguf/blocks.json'), 'utf8'),
) as Record<string, { blocks: string; float32: string }>;

describe('tensors of a GGUF file', () => {
  for (const [name, vector] of Object.entries(BLOCKS))
    it(`of ${name} have the values that another implementation reads in them, to the last bit`, async () => {
      const bytes = hexToBytes(vector.blocks);
      const type = typeOf(name);
      const tensor = { name: 'x', shape: [2, type.blockElements], type, start: 0, end: bytes.length };
      const stream = tensorStream(fileOf(bytes, 100), tensor, { kind: 'same' });
      assert.deepEqual(await collectBytes(stream), hexToBytes(vector.float32));
    });

  it('are turned back where the file holds the transpose, in one pass or in several', async () => {
    const shape = [3, 7];
    const expected = Array.from({ length: 21 }, (_, i) => (i % 3) * 7 + Math.floor(i / 3));
    for (const stripBytes of [undefined, 1, 24, 36, 48])
      assert.deepEqual(await floats(shape, { kind: 'transposed' }, stripBytes), expected, String(stripBytes));
    const tensor = { name: 'x', shape, type: typeOf('F32'), start: 0, end: 84 };
    assert.deepEqual(shapeOf(tensor, { kind: 'transposed' }), [7, 3]);
  });

  it('get their rotated rows in halves again, head by head, vectors too', async () => {
    const layout: Layout = { kind: 'interleaved', heads: 2 };
    // Two heads of four rows: in the file 0 1 2 3 stand for rows 0 2 1 3.
    assert.deepEqual(await floats([8], layout), [0, 2, 1, 3, 4, 6, 5, 7]);
    const rows = await floats([8, 2], layout);
    assert.deepEqual(rows, [0, 1, 4, 5, 2, 3, 6, 7, 8, 9, 12, 13, 10, 11, 14, 15]);
  });

  it('are read block by block, wherever the pieces of the file end', async () => {
    const block = new Uint8Array(34 * 3);
    const view = new DataView(block.buffer);
    for (let i = 0; i < 3; i++) {
      view.setUint16(i * 34, [0x3c00, 0xb800, 0x0001][i] as number, true); // 1, −0.5, 2⁻²⁴
      for (let j = 0; j < 32; j++) view.setInt8(i * 34 + 2 + j, j * 8 - 128);
    }
    const tensor = { name: 'x', shape: [3, 32], type: typeOf('Q8_0'), start: 0, end: block.length };
    const expected = [1, -0.5, 2 ** -24].flatMap((d) =>
      Array.from({ length: 32 }, (_, j) => (j * 8 - 128) * d),
    );
    for (const piece of [1, 33, 34, 1_000]) {
      const bytes = await collectBytes(tensorStream(fileOf(block, piece), tensor, { kind: 'same' }));
      assert.deepEqual([...new Float32Array(bytes.slice().buffer)], expected);
    }
  });
});
