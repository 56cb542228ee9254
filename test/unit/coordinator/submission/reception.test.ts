import assert from 'node:assert/strict';
import { createHash, randomUUID } from 'node:crypto';
import { mkdir, readdir, readFile, truncate } from 'node:fs/promises';
import { join } from 'node:path';
import { after, it } from 'node:test';
import fc from 'fast-check';
import { HashThread } from '#coordinator/submission/hash-thread.ts';
import { type PlannedTensor, Reception } from '#coordinator/submission/reception.ts';
import { concatBytes, toHex } from '#shared/crypto/bytes.ts';
import { tempDir } from '#test/helpers/temp-dir.ts';

const dir = await tempDir();
const thread = new HashThread();
after(() => thread.close());

/** Tensors of small floats that all differ, but for those that are only checked: they are as the first one. */
function tensorsOf(uses: readonly PlannedTensor['use'][]): { plan: PlannedTensor[]; data: Uint8Array[] } {
  const data = uses.map((use, i) => new Uint8Array(Float32Array.of(use === 'check' ? 0 : i, 1, 2).buffer));
  const plan = uses.map((use, i): PlannedTensor => {
    const bytes = data[i] as Uint8Array;
    const payloadHash = new Uint8Array(createHash('sha256').update(bytes).digest());
    const tensor = {
      name: `t${i}`,
      dtype: 'F32' as const,
      shape: [3],
      payloadHash,
      signature: new Uint8Array(64),
    };
    return { tensor, bytes: bytes.length, use };
  });
  return { plan, data };
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}

it('keeps what is to be kept, however the stream is cut and the process restarted', async () => {
  const use = fc.constantFrom<PlannedTensor['use']>('keep', 'check', 'skip');
  const cuts = fc.array(fc.record({ length: fc.integer({ min: 1, max: 20 }), restart: fc.boolean() }), {
    minLength: 1,
    maxLength: 8,
  });
  await fc.assert(
    fc.asyncProperty(fc.array(use, { maxLength: 4 }), cuts, async (uses, steps) => {
      const { plan, data } = tensorsOf(['keep', ...uses]);
      const all = concatBytes(...data);
      const folder = join(dir, randomUUID());
      await mkdir(folder);
      let reception = new Reception(plan, folder, thread);
      for (let step = 0; !reception.complete; step++) {
        const { length, restart } = steps[step % steps.length] as (typeof steps)[number];
        // Restarts alone would never end where a tensor is only checked.
        const to = Math.min(all.length, reception.received + length + step);
        await reception.take(once(all.subarray(reception.received, to)));
        await reception.flush();
        const { resumable } = reception;
        if (!restart || reception.complete) continue;
        await reception.close();
        reception = new Reception(plan, folder, thread);
        await reception.resume(resumable);
        assert.equal(reception.received, resumable);
      }
      await reception.close();
      const kept = plan.filter(({ use: how }) => how === 'keep');
      assert.equal((await readdir(folder)).length, kept.length);
      for (const [i, { use: how, tensor }] of plan.entries())
        if (how === 'keep')
          assert.deepEqual(new Uint8Array(await readFile(join(folder, toHex(tensor.payloadHash)))), data[i]);
    }),
    { numRuns: 60 },
  );
});

it('WEIGHTS_HASH: bytes that another process left are checked again; WEIGHTS_HEADER: bytes behind the end', async () => {
  const { plan, data } = tensorsOf(['keep']);
  const [bytes, planned] = [data[0] as Uint8Array, plan[0] as PlannedTensor];
  const folder = join(dir, randomUUID());
  await mkdir(folder);
  const first = new Reception(plan, folder, thread);
  await first.take(once(bytes.subarray(0, 8)));
  await first.flush();
  await first.close();
  const file = join(folder, toHex(planned.tensor.payloadHash));
  await truncate(file, 0);
  await truncate(file, 8); // zeros, as a file system may leave them that lost its power
  const second = new Reception(plan, folder, thread);
  await second.resume(8);
  await second.take(once(bytes.subarray(8)));
  await assert.rejects(second.flush(), { code: 'WEIGHTS_HASH' });
  await second.close();
  const third = new Reception(plan, folder, thread);
  await assert.rejects(third.take(once(concatBytes(bytes, bytes))), { code: 'WEIGHTS_HEADER' });
  await third.close();
});
