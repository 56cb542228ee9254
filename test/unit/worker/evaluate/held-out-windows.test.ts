import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { toHex } from '#shared/crypto/bytes.ts';
import { merklePath, merkleRoot } from '#shared/crypto/merkle.ts';
import { cutWindows, makeShards } from '#shared/pol/windows.ts';
import type { HeldOutRef } from '#shared/protocol/worker.ts';
import { META } from '#test/helpers/forge.ts';
import { fetchHeldOut } from '#worker/evaluate/held-out-windows.ts';
import type { MetaView } from '#worker/model/model-slot.ts';

const shape = { context: 3, vocabSize: 8, shardWindows: 5 };
const tokens = Array.from({ length: 3 * 17 + 1 }, (_, i) => (i * i) % 8);
const shards = makeShards(tokens, shape);
const all = cutWindows(tokens, shape.context);
const held_out = { root: merkleRoot(shards), windows: all.length };
const validation = { ...META.manifest.validation, shard_windows: 5, held_out };
const meta = {
  payload: '',
  manifest: { ...META.manifest, validation },
  config: { vocabulary: 8 },
} as MetaView;
const hashOf = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');
const payloads = {
  get: async (hash: string, { maxBytes = 0 } = {}) => {
    const found = shards.find((shard) => hashOf(shard) === hash);
    assert.ok(found && found.length <= maxBytes);
    return found;
  },
};
const named = (...numbers: number[]): HeldOutRef['shards'] =>
  numbers.map((number) => ({
    hash: hashOf(shards[number] as Uint8Array),
    path: merklePath(shards, number).map(toHex),
  }));
const fetch = (windows: number[], change: Partial<HeldOutRef> = {}) => {
  const heldOut = { root: toHex(held_out.root), first: 2, shards: named(2, 3), ...change };
  return fetchHeldOut(payloads, { meta, heldOut, windows }, {});
};

test('windows by their numbers in the held-out part, the last shard being short', async () => {
  assert.equal(shards.length, 4);
  assert.deepEqual(await fetch([10, 14, 15, 16]), [all[10], all[14], all[15], all[16]]);
});

test('BLOCK_PAYLOAD: shards of another root, of another place, or without their path', async () => {
  const path = named(2)[0]?.path.slice(1) as string[];
  const bad: Partial<HeldOutRef>[] = [
    { root: '00'.repeat(32) },
    { first: 1 },
    { shards: named(3, 2) },
    { shards: [{ hash: named(2)[0]?.hash as string, path }] },
  ];
  for (const change of bad) await assert.rejects(fetch([10], change), { code: 'BLOCK_PAYLOAD' });
});

test('BAD_REQUEST: a window of a shard that was not named', async () => {
  for (const window of [9, 17]) await assert.rejects(fetch([window]), { code: 'BAD_REQUEST' });
});
