import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Manifest } from '#shared/block/manifest.ts';
import { META } from '#test/helpers/forge.ts';
import { priceOf } from '#worker/train/miner-price.ts';

const manifest: Manifest = {
  ...META.manifest,
  gate: {
    delta_micro_nats: 20_000,
    z_milli: 3_000,
    windows: 128,
    early: { looks: [16, 32, 64], hopeless_z_milli: 4_000, clear_z_milli: 5_000 },
  },
  quorum: { ...META.manifest.quorum, attestations: 2 },
};
/** Windows of base and candidate together, without what measuring heads adds. */
const windowsFor = (mean: number, deviation: number, of = manifest) =>
  priceOf({ mean, deviation }, { manifest: of, height: 0 }) / (1.25 * 2 * 2 * of.validation.context);

test('the price is that of base and candidate on the windows up to the look that should be clear, for each of the quorum', () => {
  assert.equal(windowsFor(200_000, 50_000), 16);
  assert.equal(windowsFor(80_000, 50_000), 32);
  assert.equal(windowsFor(60_000, 50_000), 64);
  assert.equal(windowsFor(30_000, 50_000), 128, 'all of them where no look should be clear');
  assert.equal(windowsFor(-1, 0), 128);
});

test('the windows of the epoch are counted once: the head was evaluated on them as a candidate', () => {
  const { validation } = manifest;
  const held_out = { ...validation.held_out, epoch: { seals: 6, shards: 2 } };
  const more = priceOf(
    { mean: 200_000, deviation: 50_000 },
    { manifest: { ...manifest, validation: { ...validation, held_out } }, height: 0 },
  );
  const less = priceOf({ mean: 200_000, deviation: 50_000 }, { manifest, height: 0 });
  assert.equal(more - less, 2 * validation.context * 2 * validation.shard_windows);
});

test('without a line for early looks nothing is cheaper than the half', () => {
  const { clear_z_milli: _, ...early } = manifest.gate.early as NonNullable<Manifest['gate']['early']>;
  assert.equal(windowsFor(900_000, 50_000, { ...manifest, gate: { ...manifest.gate, early } }), 64);
});
