import type { Manifest } from '#shared/block/manifest.ts';
import { equalBytes, toHex } from '#shared/crypto/bytes.ts';
import { must } from '#shared/errors/pool-error.ts';
import { readShards, shardsRoot } from '#shared/pol/windows.ts';
import { parseConfigText } from '#shared/weights/model-config.ts';

/**
 * PROTOCOL §7: the windows of a Meta block's public validation set, after checking that its shards have the root and
 * the number of windows that it states, and fit the model's vocabulary and context. BLOCK_PAYLOAD, BLOCK_ENCODING.
 */
export function readValidationSet({ validation, config }: Pick<Manifest, 'validation' | 'config'>) {
  const model = parseConfigText(config);
  const { context, windows, shard_windows: shardWindows, shards, root } = validation;
  must(
    context <= model.context,
    'BLOCK_PAYLOAD',
    `validation set: expected windows of at most ${model.context} tokens, got ${context}`,
  );
  must(
    equalBytes(shardsRoot(shards), root),
    'BLOCK_PAYLOAD',
    () => `validation set: expected shards of root ${toHex(root)}, got those of ${toHex(shardsRoot(shards))}`,
  );
  const all = readShards(shards, { context, vocabSize: model.vocabulary, shardWindows });
  must(
    all.length === windows,
    'BLOCK_PAYLOAD',
    `validation set: expected ${windows} windows, got ${all.length}`,
  );
  return all;
}
