import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import fc from 'fast-check';
import { fromHex, toHex } from '#shared/crypto/bytes.ts';
import { merklePath, verifyMerklePath } from '#shared/crypto/merkle.ts';
import {
  cutWindows,
  decodeShard,
  drawWindows,
  encodeShard,
  makeShards,
  readShards,
  shardsRoot,
} from '#shared/pol/windows.ts';

interface Vectors {
  draws: { seed: string; total: number; count: number; indices?: number[]; indicesSha256?: string }[];
  shards: { vocabSize: number; context: number; windows: number[][]; hex: string }[];
}
const vectors = JSON.parse(
  readFileSync(new URL('../../../vectors/windows.json', import.meta.url), 'utf8'),
) as Vectors;

const shape = { vocabSize: 1024, context: 3 };
const windows = [
  [0, 1, 2, 3],
  [3, 4, 5, 1023],
];

test('each token is predicted once; an incomplete last window is dropped', () => {
  const tokens = [10, 11, 12, 13, 14, 15, 16, 17];
  assert.deepEqual(
    cutWindows(tokens, 3).map((w) => [...w]),
    [
      [10, 11, 12, 13],
      [13, 14, 15, 16],
    ],
  );
  assert.equal(cutWindows(tokens.slice(0, 7), 3).length, 2);
  assert.equal(cutWindows(tokens.slice(0, 6), 3).length, 1);
  assert.equal(cutWindows([1, 2, 3], 3).length, 0);
  assert.equal(cutWindows([], 3).length, 0);
});

test('windows are grouped in order; the last shard may be smaller', () => {
  const tokens = Array.from({ length: 3 * 7 + 1 }, (_, i) => i);
  const shards = makeShards(tokens, { ...shape, shardWindows: 3 });
  const read = shards.map((shard) => decodeShard(shard, shape));
  assert.deepEqual(
    read.map((group) => group.length),
    [3, 3, 1],
  );
  assert.deepEqual(read.flat(), cutWindows(tokens, 3));
  assert.deepEqual(makeShards([1, 2], { ...shape, shardWindows: 3 }), []);
});

test('BLOCK_ENCODING: a shard before the last that is not full, and any that is too full', () => {
  const tokens = Array.from({ length: 3 * 7 + 1 }, (_, i) => i);
  const at = { ...shape, shardWindows: 3 };
  const shards = makeShards(tokens, at);
  assert.deepEqual(readShards(shards, at), cutWindows(tokens, 3));
  assert.deepEqual(readShards([], at), []);
  assert.throws(() => readShards([...shards].reverse(), at), { code: 'BLOCK_ENCODING' });
  assert.throws(() => readShards(shards, { ...at, shardWindows: 2 }), { code: 'BLOCK_ENCODING' });
});

test('the bytes of a shard are those of the vectors, both ways', () => {
  for (const { vocabSize, context, windows: expected, hex } of vectors.shards) {
    const at = { vocabSize, context };
    assert.equal(toHex(encodeShard(expected, at)), hex);
    assert.deepEqual(
      decodeShard(fromHex(hex, hex.length / 2), at).map((w) => [...w]),
      expected,
    );
  }
});

test('a shard inside a larger buffer is read at its place', () => {
  const bytes = encodeShard(windows, shape);
  const room = new Uint8Array(bytes.length + 7);
  room.set(bytes, 5);
  assert.deepEqual(decodeShard(room.subarray(5, 5 + bytes.length), shape), decodeShard(bytes, shape));
});

test('BLOCK_ENCODING: every shorter or longer shard, and one of no windows', () => {
  const bytes = encodeShard(windows, shape);
  for (let n = 0; n < bytes.length; n++) {
    assert.throws(() => decodeShard(bytes.subarray(0, n), shape), { code: 'BLOCK_ENCODING' }, `${n} bytes`);
  }
  assert.throws(() => decodeShard(Uint8Array.of(...bytes, 0), shape), { code: 'BLOCK_ENCODING' });
  const none = bytes.slice(0, 20);
  none.fill(0, 16);
  assert.throws(() => decodeShard(none, shape), { code: 'BLOCK_ENCODING' });
  assert.throws(() => encodeShard([], shape), { code: 'BLOCK_ENCODING' });
});

test('BLOCK_ENCODING: any changed byte of the header', () => {
  const bytes = encodeShard(windows, shape);
  for (let i = 0; i < 20; i++) {
    const bad = bytes.slice();
    bad[i] = (bad[i] as number) ^ 1;
    assert.throws(() => decodeShard(bad, shape), { code: 'BLOCK_ENCODING' }, `byte ${i}`);
  }
});

test('BLOCK_ENCODING: a count that overflows is refused before anything is allocated', () => {
  const bytes = encodeShard(windows, shape);
  bytes.fill(0xff, 16, 20);
  assert.throws(() => decodeShard(bytes, shape), { code: 'BLOCK_ENCODING' });
});

test('BLOCK_ENCODING: a token outside of the vocabulary, a window of another length', () => {
  const bytes = encodeShard(windows, shape);
  bytes.set([0x00, 0x04], 20);
  assert.throws(() => decodeShard(bytes, shape), { code: 'BLOCK_ENCODING', message: /below 1024, got 1024/ });
  for (const token of [1024, -1, 0.5, Number.NaN]) {
    assert.throws(() => encodeShard([[0, 1, 2, token]], shape), { code: 'BLOCK_ENCODING' });
  }
  assert.throws(() => encodeShard([[0, 1, 2]], shape), { code: 'BLOCK_ENCODING' });
});

test('the root proves each shard alone', () => {
  const tokens = Array.from({ length: 61 }, (_, i) => i);
  const shards = makeShards(tokens, { ...shape, shardWindows: 3 });
  const root = shardsRoot(shards);
  for (const [index, leaf] of shards.entries()) {
    const path = merklePath(shards, index);
    assert.ok(verifyMerklePath(root, { leaf, index, size: shards.length, path }));
  }
});

test('drawn windows are those of the vectors', () => {
  for (const { seed, total, count, indices, indicesSha256 } of vectors.draws) {
    const drawn = drawWindows(fromHex(seed, 32), total, count);
    if (indices) assert.deepEqual(drawn, indices);
    else {
      const bytes = new DataView(new ArrayBuffer(drawn.length * 4));
      for (const [i, index] of drawn.entries()) bytes.setUint32(i * 4, index);
      assert.equal(createHash('sha256').update(new Uint8Array(bytes.buffer)).digest('hex'), indicesSha256);
    }
  }
});

test('property: distinct, ascending, in range, and all of them where all are asked for', () => {
  const seeds = fc.uint8Array({ minLength: 32, maxLength: 32 });
  fc.assert(
    fc.property(seeds, fc.nat(300), fc.nat(300), (seed, a, b) => {
      const [count, total] = [Math.min(a, b), Math.max(a, b)];
      const drawn = drawWindows(seed, total, count);
      assert.equal(drawn.length, count);
      assert.ok(drawn.every((index, i) => index < total && index > (drawn[i - 1] ?? -1)));
    }),
  );
});

test('every window is drawn about equally often', () => {
  const counts = new Array<number>(10).fill(0);
  for (let i = 0; i < 2000; i++) {
    const seed = new Uint8Array(32);
    new DataView(seed.buffer).setUint32(0, i);
    for (const index of drawWindows(seed, 10, 3)) counts[index] = (counts[index] as number) + 1;
  }
  // 600 expected, standard deviation 20.5.
  assert.ok(
    counts.every((n) => n > 500 && n < 700),
    `counts ${counts.join(' ')}`,
  );
});

test('BAD_REQUEST: a seed of another length, more windows than there are, no whole numbers', () => {
  const seed = new Uint8Array(32);
  const bad: [Uint8Array, number, number][] = [
    [seed.subarray(1), 5, 2],
    [seed, 5, 6],
    [seed, 5, -1],
    [seed, 5, 1.5],
    [seed, 5, Number.NaN],
    [seed, 2 ** 32, 1],
    [seed, Number.POSITIVE_INFINITY, 1],
  ];
  for (const args of bad) assert.throws(() => drawWindows(...args), { code: 'BAD_REQUEST' });
});
