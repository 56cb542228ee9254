import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Manifest } from '#shared/block/manifest.ts';
import { countSeal, type EpochCount, goesOn, heldOutWindows, NO_EPOCHS } from '#shared/pol/epochs.ts';
import { META } from '#test/helpers/forge.ts';
import { readVectors } from '#test/helpers/vectors.ts';

type HeldOut = Manifest['validation']['held_out'];
const { epochs } = readVectors<{
  epochs: {
    shard_windows: number;
    rules: (HeldOut | null)[];
    places: ({ windows: [number, number] } | null)[];
  }[];
}>('pol');
const { validation } = META.manifest;
const none: HeldOut = { root: new Uint8Array(32), windows: 0 };

test('seals belong to the epochs of the vectors, with the windows that they reveal', () => {
  for (const { shard_windows, rules, places } of epochs) {
    let count: EpochCount = NO_EPOCHS;
    for (const [i, rule] of rules.entries()) {
      const ruling = { ...validation, shard_windows, held_out: rule ?? none };
      const counted = countSeal(count, ruling);
      count = counted.count;
      const { epoch } = counted;
      const windows = epoch && heldOutWindows(epoch, ruling);
      const found = epoch && { ...epoch, windows: [windows?.[0], (windows?.at(-1) ?? 0) + 1] };
      assert.deepEqual(found, places[i]);
    }
  }
});

test('an epoch goes on under the same held-out part, and ends before another', () => {
  const held_out = { root: new Uint8Array(32).fill(7), windows: 40, epoch: { seals: 3, shards: 2 } };
  const ruling = { ...validation, shard_windows: 16, held_out };
  const { count } = countSeal(NO_EPOCHS, ruling);
  const under = (change: Partial<HeldOut>) => ({ ...ruling, held_out: { ...held_out, ...change } });
  assert.ok(!goesOn(NO_EPOCHS, ruling));
  assert.ok(goesOn(count, ruling));
  assert.ok(!goesOn(count, under({ root: new Uint8Array(32).fill(8) })));
  assert.ok(!goesOn(count, under({ epoch: { seals: 2, shards: 2 } })));
  assert.ok(!goesOn(count, under({ epoch: { seals: 3, shards: 1 } })));
  assert.ok(!goesOn(count, { ...ruling, held_out: none }));
});
