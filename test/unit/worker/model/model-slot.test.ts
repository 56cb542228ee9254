import assert from 'node:assert/strict';
import { before, beforeEach, describe, it } from 'node:test';
import * as tf from '@tensorflow/tfjs';
import type { ModelRef, TensorRefMessage } from '#shared/protocol/worker.ts';
import { TinyPool } from '#test/helpers/tiny-pool.ts';
import type { OpenPayload } from '#worker/client/payload-cache.ts';
import { startBackend } from '#worker/model/backend/start.ts';
import { ModelSlot, rootOf, withTensors } from '#worker/model/model-slot.ts';

/** A source of payloads that counts what is opened, and can fail. */
class Payloads {
  readonly pool = new TinyPool();
  opened: string[] = [];
  /** Payloads that cannot be read. */
  readonly broken = new Set<string>();

  get(hash: string): Promise<Uint8Array> {
    return this.pool.get(hash);
  }

  async open(hash: string): Promise<OpenPayload> {
    this.opened.push(hash);
    const file = await this.pool.open(hash);
    const read = async (): Promise<void> => {
      throw new Error('the line is gone');
    };
    return this.broken.has(hash) ? { ...file, read } : file;
  }
}

let payloads: Payloads;
let base: ModelRef;
let others: TensorRefMessage[];
const batch = { ids: [1, 2, 3, 4], labels: [2, 3, 4, 5] };

/** `base` with the first `count` tensors of other weights. */
function candidate(count: number): ModelRef {
  const changed = others.slice(0, count);
  const names = new Set(changed.map(({ name }) => name));
  const tensors = base.tensors.map((tensor) =>
    names.has(tensor.name) ? (changed.find(({ name }) => name === tensor.name) as TensorRefMessage) : tensor,
  );
  return withTensors(base, changed, rootOf(tensors));
}

async function lossesOf(slot: ModelSlot, ref: ModelRef): Promise<Float32Array> {
  const { model } = await slot.show(ref);
  return model.losses(batch, 4);
}

const freshLosses = (ref: ModelRef) => lossesOf(new ModelSlot(payloads), ref);

describe('ModelSlot', () => {
  before(() => startBackend('wasm'));

  beforeEach(async () => {
    payloads = new Payloads();
    const { meta } = await payloads.pool.model();
    const tensors = payloads.pool.freshTensors(1);
    others = payloads.pool.freshTensors(2).filter(({ hash }) => tensors.every((t) => t.hash !== hash));
    base = { meta: meta.hash, metaPayload: meta.payload_hash, root: rootOf(tensors), tensors };
  });

  for (const budgetBytes of [undefined, 20_000])
    it(`moves only what differs, there and back, with a budget of ${budgetBytes ?? 'everything'}`, async () => {
      const slot = new ModelSlot(payloads, { budgetBytes });
      const first = await lossesOf(slot, base);
      const tensors = tf.memory().numTensors;
      payloads.opened = [];
      const changed = await lossesOf(slot, candidate(2));
      assert.deepEqual(
        payloads.opened,
        others.slice(0, 2).map(({ hash }) => hash),
      );
      assert.notDeepEqual(changed, first);
      payloads.opened = [];
      assert.deepEqual(await lossesOf(slot, base), first);
      assert.equal(payloads.opened.length, 2);
      payloads.opened = [];
      await slot.show(base);
      assert.deepEqual(payloads.opened, []);
      assert.ok(tf.memory().numTensors <= tensors + 2, 'nothing is left behind');
    });

  it('is usable after a failure in the middle of a swap, and of a first load', async () => {
    const slot = new ModelSlot(payloads);
    const to = candidate(3);
    const [, second] = others as [TensorRefMessage, TensorRefMessage];
    payloads.broken.add(second.hash);
    await assert.rejects(slot.show(to), /the line is gone/);
    const first = await lossesOf(slot, base);
    await assert.rejects(slot.show(to), /the line is gone/);
    assert.deepEqual(await lossesOf(slot, base), first);
    await assert.rejects(slot.show(to), /the line is gone/);
    payloads.broken.clear();
    assert.deepEqual(await lossesOf(slot, to), await freshLosses(to));
    assert.deepEqual(await lossesOf(slot, base), first);
  });

  it('BLOCK_ROOT for tensors that are not those of the root, WEIGHTS_SHAPE for bytes of another size', async () => {
    const slot = new ModelSlot(payloads);
    await assert.rejects(slot.show({ ...base, root: 'ab'.repeat(32) }), { code: 'BLOCK_ROOT' });
    const [first, ...rest] = base.tensors as [TensorRefMessage, ...TensorRefMessage[]];
    const wrong = [{ ...first, hash: base.metaPayload }, ...rest];
    await assert.rejects(slot.show({ ...base, tensors: wrong, root: rootOf(wrong) }), {
      code: 'WEIGHTS_SHAPE',
    });
  });

  it('an abort ends the loading', async () => {
    const slot = new ModelSlot(payloads);
    const abort = new AbortController();
    abort.abort(new Error('enough'));
    await assert.rejects(slot.show(base, { signal: abort.signal }), /enough/);
    await slot.show(base);
  });

  it('keeps no memory over a thousand evaluations', async () => {
    const slot = new ModelSlot(payloads);
    const to = candidate(2);
    await lossesOf(slot, base);
    const { numTensors, numBytes } = tf.memory();
    for (let i = 0; i < 500; i++) {
      await lossesOf(slot, to);
      await lossesOf(slot, base);
    }
    const after = tf.memory();
    assert.deepEqual([after.numTensors, after.numBytes], [numTensors, numBytes]);
  });
});
