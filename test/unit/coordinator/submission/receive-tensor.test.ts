import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, it } from 'node:test';
import fc from 'fast-check';
import { ByteReader } from '#coordinator/submission/byte-reader.ts';
import { HashThread } from '#coordinator/submission/hash-thread.ts';
import { TensorReceiver } from '#coordinator/submission/receive-tensor.ts';
import { Spool } from '#coordinator/submission/spool.ts';
import { collectBytes } from '#shared/crypto/bytes.ts';
import type { TensorRef } from '#shared/weights/model-root.ts';
import { tempDir } from '#test/helpers/temp-dir.ts';

const dir = await tempDir();
const thread = new HashThread();
after(() => thread.close());

/** All of a tensor from a stream. */
async function receiveTensor(
  tensor: TensorRef,
  pieces: AsyncIterable<Uint8Array>,
  file: string | null,
): Promise<void> {
  const parts: Uint8Array[] = [];
  for await (const piece of pieces) parts.push(piece);
  const bytes = parts.reduce((sum, { length }) => sum + length, 0);
  const receiver = await TensorReceiver.open({ tensor, bytes, file, again: false }, thread);
  try {
    for (const piece of parts) await receiver.take(piece);
    await receiver.finish();
  } finally {
    await receiver.close();
  }
}

/** The bytes in pieces of these lengths, over and over. */
async function* cut(bytes: Uint8Array, lengths: readonly number[]): AsyncGenerator<Uint8Array> {
  for (let at = 0, i = 0; at < bytes.length; i++) {
    const length = lengths[i % lengths.length] ?? 1;
    yield bytes.subarray(at, at + length);
    at += length;
  }
}

const sha256 = (bytes: Uint8Array) => new Uint8Array(createHash('sha256').update(bytes).digest());
const tensorOf = (bytes: Uint8Array, dtype: 'F32' | 'F16' | 'BF16') => ({
  name: 'w',
  dtype,
  shape: [1],
  payloadHash: sha256(bytes),
});
const lengths = fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1, maxLength: 6 });

it('finds the one element that is not finite, however the stream is cut', async () => {
  const spoilt = { F32: [0, 0, 0x80, 0x7f], F16: [0, 0x7c], BF16: [0xc0, 0xff] } as const;
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom('F32', 'F16', 'BF16'),
      fc.integer({ min: 0, max: 19 }),
      lengths,
      async (dtype, index, pieces) => {
        const width = spoilt[dtype].length;
        const bytes = new Uint8Array(20 * width).fill(1);
        await receiveTensor(tensorOf(bytes, dtype), cut(bytes, pieces), null);
        bytes.set(spoilt[dtype], index * width);
        await assert.rejects(receiveTensor(tensorOf(bytes, dtype), cut(bytes, pieces), null), {
          code: 'WEIGHTS_NOT_FINITE',
          message: `w: element ${index} is NaN or infinite`,
        });
      },
    ),
  );
});

it('writes what it was signed as, and refuses other bytes', async () => {
  const bytes = new Uint8Array(40).fill(2);
  const file = join(dir, 'tensor');
  await receiveTensor(tensorOf(bytes, 'F32'), cut(bytes, [7]), file);
  assert.deepEqual(new Uint8Array(await readFile(file)), bytes);
  const other = { ...tensorOf(bytes, 'F32'), payloadHash: new Uint8Array(32) };
  await assert.rejects(receiveTensor(other, cut(bytes, [7]), null), { code: 'WEIGHTS_HASH' });
});

it('reads exact parts of a stream, and names a stream that ends early', async () => {
  const bytes = Uint8Array.from({ length: 50 }, (_, i) => i);
  await fc.assert(
    fc.asyncProperty(lengths, fc.integer({ min: 0, max: 50 }), async (pieces, first) => {
      const reader = new ByteReader(cut(bytes, pieces));
      assert.deepEqual(await reader.exactly(first), bytes.slice(0, first));
      assert.equal(await reader.atEnd(), first === 50);
      assert.deepEqual(await collectBytes(reader.rest()), bytes.slice(first));
      assert.ok(await reader.atEnd());
      await assert.rejects(reader.exactly(1), { code: 'WEIGHTS_TRUNCATED' });
    }),
  );
});

it('keeps whole submissions only, and after a start only those that are wanted', async () => {
  const folder = join(dir, 'spool');
  const [first, second] = [new Uint8Array(32).fill(1), new Uint8Array(32).fill(2)];
  const bytes = new Uint8Array(8).fill(3);
  const { payloadHash } = tensorOf(bytes, 'F32');
  const name = Buffer.from(payloadHash).toString('hex');
  const spool = await Spool.open(folder, () => true);
  for (const id of [first, second]) {
    const path = await spool.begin();
    await receiveTensor(tensorOf(bytes, 'F32'), cut(bytes, [3]), join(path, name));
    await spool.keep(path, id, [payloadHash]);
  }
  await spool.begin(); // never finished
  assert.deepEqual(await collectBytes(spool.read(payloadHash, { start: 2, end: 5 })), bytes.slice(2, 5));
  await spool.drop(first);
  assert.ok(spool.has(payloadHash), 'the second submission has it too');
  const again = await Spool.open(folder, (id) => id === '02'.repeat(32));
  assert.equal(await again.size(payloadHash), 8);
  await again.drop(second);
  assert.equal(again.has(payloadHash), false);
  assert.equal((await Spool.open(folder, () => true)).has(payloadHash), false);
});
