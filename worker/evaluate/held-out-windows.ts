import { equalBytes, fromHex, toHex } from '#shared/crypto/bytes.ts';
import { verifyMerklePath } from '#shared/crypto/merkle.ts';
import { must } from '#shared/errors/pool-error.ts';
import { heldOutShards } from '#shared/pol/epochs.ts';
import { decodeShard, shardBytes } from '#shared/pol/windows.ts';
import type { HeldOutRef } from '#shared/protocol/worker.ts';
import type { PayloadSource } from '#worker/client/payload-cache.ts';
import type { FetchOptions, MetaView } from '#worker/model/model-slot.ts';

/**
 * Windows of revealed shards, by their numbers in the held-out part. The shards must be those that the Meta block
 * names: whoever signs losses of its windows has seen that. BLOCK_PAYLOAD, BLOCK_ENCODING, BAD_REQUEST.
 */
export async function fetchHeldOut(
  payloads: PayloadSource,
  wanted: { meta: MetaView; heldOut: HeldOutRef; windows: readonly number[] },
  options: FetchOptions,
): Promise<Uint32Array[]> {
  const { meta, heldOut, windows } = wanted;
  const { validation } = meta.manifest;
  const { context, shard_windows: shardWindows } = validation;
  const shape = { context, vocabSize: meta.config.vocabulary };
  must(
    equalBytes(fromHex(heldOut.root, 32), validation.held_out.root),
    'BLOCK_PAYLOAD',
    () => `held-out part: expected root ${toHex(validation.held_out.root)}, got ${heldOut.root}`,
  );
  const all = new Map<number, Uint32Array>();
  for (const [i, { hash, path }] of heldOut.shards.entries()) {
    const maxBytes = shardBytes(shardWindows, shape);
    const leaf = await payloads.get(hash, { ...options, maxBytes });
    const index = heldOut.first + i;
    const claim = { leaf, index, size: heldOutShards(validation), path: path.map((h) => fromHex(h, 32)) };
    must(
      verifyMerklePath(validation.held_out.root, claim),
      'BLOCK_PAYLOAD',
      `held-out shard ${index}: it is not one of the Meta block`,
    );
    for (const [at, window] of decodeShard(leaf, shape).entries()) all.set(index * shardWindows + at, window);
  }
  return windows.map((number) => {
    const window = all.get(number);
    must(window, 'BAD_REQUEST', `held-out window ${number}: expected one of the shards that were named`);
    return window;
  });
}
