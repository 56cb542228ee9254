import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { it } from 'node:test';
import type { Checkpoint } from '#coordinator/import/checkpoint.ts';
import { collectBytes } from '#shared/crypto/bytes.ts';
import { Tokenizer } from '#shared/text/tokenizer.ts';
import { tensorBytes } from '#shared/weights/dtype.ts';
import { parseConfigText, tensorShapes } from '#shared/weights/model-config.ts';
import { sortByName } from '#shared/weights/model-root.ts';

/** What every kind of checkpoint does. `open` gives the same one at each call. */
export function describeCheckpoint(open: () => Promise<Checkpoint>): void {
  const withOne = async (work: (checkpoint: Checkpoint) => Promise<void> | void) => {
    const checkpoint = await open();
    try {
      await work(checkpoint);
    } finally {
      await checkpoint.close();
    }
  };

  it('has exactly the tensors of its configuration, in name order', () =>
    withOne(({ texts, tensors }) => {
      const shapes = [...tensorShapes(parseConfigText(texts.config))].map(([name, shape]) => ({
        name,
        shape,
      }));
      assert.deepEqual(
        tensors.map(({ name, shape }) => ({ name, shape: [...shape] })),
        sortByName(shapes),
      );
    }));

  it('reads each tensor in whole, in pieces of whole elements, the same at each call', () =>
    withOne(async ({ tensors }) => {
      for (const tensor of tensors) {
        const bytes = await collectBytes(tensor.read());
        assert.equal(bytes.length, tensorBytes(tensor.dtype, tensor.shape), tensor.name);
        for await (const piece of tensor.read()) assert.equal(piece.length % 2, 0);
        assert.deepEqual(sha256(await collectBytes(tensor.read())), sha256(bytes), tensor.name);
      }
    }));

  it('reads two tensors at the same time', () =>
    withOne(async ({ tensors: [a, b] }) => {
      assert.ok(a && b);
      const alone = [await collectBytes(a.read()), await collectBytes(b.read())];
      assert.deepEqual(await Promise.all([collectBytes(a.read()), collectBytes(b.read())]), alone);
    }));

  it('has a tokenizer that fits the model', () =>
    withOne(({ texts }) => {
      const tokenizer = Tokenizer.fromJson(texts.tokenizer, texts.tokenizerConfig ?? '{}');
      assert.ok(tokenizer.vocabSize <= parseConfigText(texts.config).vocabulary);
      assert.equal(tokenizer.decode(tokenizer.encode('the sea')).trim(), 'the sea');
    }));

  it('can be closed twice', () =>
    withOne(async (checkpoint) => {
      await checkpoint.close();
    }));
}

const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');
