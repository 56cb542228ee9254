import { z } from 'zod';
import { type CborValue, decodeCborAs, encodeCbor, zBigUint, zBytes, zUint } from '#shared/block/cbor.ts';
import { equalBytes, toHex } from '#shared/crypto/bytes.ts';
import { isPublicKey } from '#shared/crypto/keys.ts';
import { merkleRoot } from '#shared/crypto/merkle.ts';
import { must, PoolError } from '#shared/errors/pool-error.ts';
import { readShards } from '#shared/pol/windows.ts';
import { targetFromBits } from '#shared/pow/target.ts';
import { type ModelConfig, parseModelConfig } from '#shared/weights/model-config.ts';

/**
 * The payload of a Meta block: everything that decides what the model is, how it is judged and how it is paid.
 * PROTOCOL §7.
 */
const manifestSchema = z.strictObject({
  v: z.literal(1),
  name: z.string().min(1).max(100),
  /** True for the development network, whose keys are public. */
  unsafe_keys: z.boolean(),
  runtime: z.string(),
  rules: z.array(z.strictObject({ name: z.string(), text: z.string() })),
  /** Texts of the Hugging Face files, byte for byte. */
  config: z.string(),
  tokenizer: z.string(),
  chat_template: z.string(),
  validation: z.strictObject({
    /** Tokens that are predicted per window; a window holds one more. */
    context: zUint.min(1),
    windows: zUint.min(2),
    shard_windows: zUint.min(1),
    root: zBytes(32),
    shards: z.array(z.custom<Uint8Array>((value) => value instanceof Uint8Array)),
    held_out: z.strictObject({ root: zBytes(32), windows: zUint }),
  }),
  gate: z.strictObject({ delta_micro_nats: zUint, z_milli: zUint, windows: zUint.min(2) }),
  quorum: z.strictObject({ attestations: zUint.min(1), tolerance_micro_nats: zUint }),
  pow: z.strictObject({ bits: zUint }),
  reward: z.strictObject({
    /** Base units minted for one accepted submission. */
    units: zBigUint,
    split_bp: z.strictObject({ submitter: zUint, evaluators: zUint, grinders: zUint, pool: zUint }),
    /** Last N work units of each kind that share a reward. */
    window_units: zUint.min(1),
    /** Part of the submitter's reward that vests after the held-out re-check. */
    vesting_bp: zUint.max(10_000),
  }),
  fees: z.strictObject({ chat_token_units: zBigUint }),
  pool_key: zBytes(33),
  governors: z.strictObject({ threshold: zUint.min(1), keys: z.array(zBytes(33)).min(1) }),
});

export type Manifest = z.infer<typeof manifestSchema>;

export function encodeManifest(manifest: Manifest): Uint8Array {
  return encodeCbor(manifest as unknown as CborValue);
}

/** Bytes → manifest. PROTOCOL §7; what only its longer parts can tell is left to `checkValidationSet`. */
export function decodeManifest(bytes: Uint8Array): Manifest {
  const manifest = decodeCborAs(manifestSchema as z.ZodType<Manifest>, bytes, 'Meta payload');
  const { submitter, evaluators, grinders, pool } = manifest.reward.split_bp;
  must(
    submitter + evaluators + grinders + pool === 10_000,
    'BLOCK_ENCODING',
    'Meta payload: expected the reward split to sum to 10000 basis points',
  );
  must(
    manifest.gate.windows <= manifest.validation.windows,
    'BLOCK_ENCODING',
    'Meta payload: the gate asks for more windows than the validation set has',
  );
  must(
    manifest.governors.threshold <= manifest.governors.keys.length,
    'BLOCK_ENCODING',
    'Meta payload: more signatures are asked for than there are governors',
  );
  checkKeys(manifest);
  targetFromBits(manifest.pow.bits);
  return manifest;
}

/** A governor who stood twice would count twice. */
function checkKeys({ pool_key, governors: { keys } }: Manifest): void {
  must(
    [pool_key, ...keys].every(isPublicKey),
    'BLOCK_ENCODING',
    'Meta payload: expected the keys of pool and governors to be compressed points of secp256k1',
  );
  must(
    new Set(keys.map(toHex)).size === keys.length,
    'BLOCK_ENCODING',
    'Meta payload: a governor stands twice',
  );
}

/** The model that the manifest describes; CONFIG_UNSUPPORTED where it cannot be built. */
export function configOf(manifest: Manifest): ModelConfig {
  let json: unknown;
  try {
    json = JSON.parse(manifest.config);
  } catch (cause) {
    throw new PoolError('CONFIG_UNSUPPORTED', 'config: expected JSON', {}, { cause });
  }
  return parseModelConfig(json);
}

/** PROTOCOL §7: the shards have the root and the windows that the manifest names, and the model can read them. */
export function checkValidationSet(manifest: Manifest): void {
  const { shards, root, windows, context, shard_windows } = manifest.validation;
  const config = configOf(manifest);
  must(
    context <= config.context,
    'BLOCK_ENCODING',
    () =>
      `Meta payload: windows of ${context} tokens are longer than the model's context of ${config.context}`,
  );
  must(
    equalBytes(merkleRoot(shards), root),
    'BLOCK_ENCODING',
    'Meta payload: the validation shards do not have the root it names',
  );
  const found = readShards(shards, { context, vocabSize: config.vocabulary, shardWindows: shard_windows });
  must(
    found.length === windows,
    'BLOCK_ENCODING',
    () => `Meta payload: expected ${windows} validation windows, got ${found.length}`,
  );
}
