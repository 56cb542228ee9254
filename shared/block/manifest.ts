import { z } from 'zod';
import { type CborValue, decodeCborAs, encodeCbor, zBigUint, zBytes, zUint } from '#shared/block/cbor.ts';
import { toHex } from '#shared/crypto/bytes.ts';
import { isPublicKey } from '#shared/crypto/keys.ts';
import { must } from '#shared/errors/pool-error.ts';
import { BASIS_POINTS } from '#shared/money.ts';
import { checkRetargetRule, ruleOf } from '#shared/pow/retarget.ts';
import { targetFromBits } from '#shared/pow/target.ts';
import { CHAT_SPLIT_BP } from '#shared/reward/chat-moves.ts';

/** A hundred times the usual reward: more would be a slip. */
const MOST_GAIN_BP = 1_000_000;

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
  /** `tokenizer_config.json` and `generation_config.json`, where the model came with them. */
  tokenizer_config: z.string().optional(),
  generation_config: z.string().optional(),
  validation: z.strictObject({
    /** Tokens that are predicted per window; a window holds one more. */
    context: zUint.min(1),
    windows: zUint.min(2),
    shard_windows: zUint.min(1),
    root: zBytes(32),
    shards: z.array(z.custom<Uint8Array>((value) => value instanceof Uint8Array)),
    held_out: z.strictObject({
      root: zBytes(32),
      windows: zUint,
      /** After so many sealed submissions the next so many shards are revealed; without it none are. */
      epoch: z.strictObject({ seals: zUint.min(1), shards: zUint.min(1) }).optional(),
    }),
  }),
  gate: z.strictObject({
    delta_micro_nats: zUint,
    z_milli: zUint,
    windows: zUint.min(2),
    /** Looks at fewer windows, after which the clear and the hopeless are stopped; without it there are none. */
    early: z
      .strictObject({
        looks: z.array(zUint.min(2)).min(1),
        hopeless_z_milli: zUint,
        /** Without it nothing is clear before the half. */
        clear_z_milli: zUint.optional(),
      })
      .optional(),
    /** After every `blocks` of chain B, delta becomes `keep_bp` of it, down to the floor. */
    decay: z
      .strictObject({ blocks: zUint.min(1), keep_bp: zUint.max(10_000), floor_micro_nats: zUint })
      .optional(),
  }),
  quorum: z.strictObject({
    attestations: zUint.min(1),
    tolerance_micro_nats: zUint,
    /** A worker that agreed so often in a row may refuse alone; without it nobody may. */
    trusted_after: zUint.min(1).optional(),
  }),
  pow: z.strictObject({
    bits: zUint,
    /** How the target follows the hash rate from `bits` on; without it the target stays. */
    retarget: z
      .strictObject({ aim_ms: zUint, window_blocks: zUint, clamp: zUint, easiest_bits: zUint })
      .optional(),
  }),
  reward: z.strictObject({
    /** Base units minted for one accepted submission of the usual gain. */
    units: zBigUint,
    /** How the reward follows from gain and time; without it every reward is `units`. */
    schedule: z
      .strictObject({
        /** The usual gain: that of a reward of just `units`, in micro-nats per window. */
        gain_micro_nats: zUint.min(1),
        /** Bounds of the reward in basis points of `units`. */
        least_bp: zUint,
        most_bp: zUint.max(MOST_GAIN_BP),
        /** `units` are halved after every so many submissions. */
        halving_seals: zUint.min(1).optional(),
        /** Base units that rewards mint in all. */
        supply_units: zBigUint.optional(),
      })
      .optional(),
    split_bp: z.strictObject({ submitter: zUint, evaluators: zUint, grinders: zUint, pool: zUint }),
    /** Which work units of each kind share a reward: PPLNS unless given. */
    scheme: z.enum(['pplns', 'prop', 'solo']).optional(),
    /** PPLNS: so many of the newest. */
    window_units: zUint.min(1),
    /** An owner's parts gather until they reach this; without it all are paid at once. */
    min_payout_units: zBigUint.optional(),
    /** Part of the submitter's reward that vests after the held-out re-check. */
    vesting_bp: zUint.max(10_000),
  }),
  fees: z.strictObject({
    /** Base units per token of an answer; 0 where chats are free. */
    chat_token_units: zBigUint,
    /** Who gets them; without it CHAT_SPLIT_BP. */
    split_bp: z.strictObject({ worker: zUint, royalties: zUint, pool: zUint }).optional(),
  }),
  pool_key: zBytes(33),
  governors: z.strictObject({ threshold: zUint.min(1), keys: z.array(zBytes(33)).min(1) }),
});

export type Manifest = z.infer<typeof manifestSchema>;

export function encodeManifest(manifest: Manifest): Uint8Array {
  return encodeCbor(manifest as unknown as CborValue);
}

/** Bytes → manifest; BLOCK_ENCODING. What its longer texts say is for those who read them. PROTOCOL §7. */
export function decodeManifest(bytes: Uint8Array): Manifest {
  const manifest = decodeCborAs(manifestSchema as z.ZodType<Manifest>, bytes, 'Meta payload');
  const { submitter, evaluators, grinders, pool } = manifest.reward.split_bp;
  must(
    submitter + evaluators + grinders + pool === 10_000,
    'BLOCK_ENCODING',
    'Meta payload: expected the reward split to sum to 10000 basis points',
  );
  checkSchedule(manifest.reward);
  must(
    manifest.gate.windows <= manifest.validation.windows,
    'BLOCK_ENCODING',
    'Meta payload: the gate asks for more windows than the validation set has',
  );
  const looks = [...(manifest.gate.early?.looks ?? []), manifest.gate.windows];
  must(
    looks.every((windows, i) => i === 0 || windows > (looks[i - 1] as number)),
    'BLOCK_ENCODING',
    'Meta payload: expected the looks of the gate to ascend, all below its windows',
  );
  must(
    manifest.governors.threshold <= manifest.governors.keys.length,
    'BLOCK_ENCODING',
    'Meta payload: more signatures are asked for than there are governors',
  );
  checkHeldOut(manifest);
  checkKeys(manifest);
  const { worker, royalties, pool: toPool } = manifest.fees.split_bp ?? CHAT_SPLIT_BP;
  must(
    worker + royalties + toPool === 10_000,
    'BLOCK_ENCODING',
    'Meta payload: expected the split of fees to sum to 10000 basis points',
  );
  targetFromBits(manifest.pow.bits);
  const rule = ruleOf(manifest.pow);
  if (rule) checkRetargetRule(rule);
  return manifest;
}

/** A reward must fit into an entry of the journal. */
function checkSchedule({ units, schedule }: Manifest['reward']): void {
  if (schedule === undefined) return;
  must(
    schedule.least_bp <= schedule.most_bp,
    'BLOCK_ENCODING',
    'Meta payload: expected the least reward to be no more than the most',
  );
  must(
    (units * BigInt(schedule.most_bp)) / BASIS_POINTS < 2n ** 64n,
    'BLOCK_ENCODING',
    'Meta payload: expected the most reward to be below 2^64 base units',
  );
}

/** What vests must have an epoch at whose end it is decided, and an epoch something to reveal. */
function checkHeldOut({ validation: { held_out }, reward }: Manifest): void {
  must(
    held_out.epoch === undefined || held_out.windows > 0,
    'BLOCK_ENCODING',
    'Meta payload: there are epochs, and no held-out windows to reveal at their ends',
  );
  must(
    held_out.epoch !== undefined || reward.vesting_bp === 0,
    'BLOCK_ENCODING',
    'Meta payload: rewards vest, and there is no epoch at whose end they are released',
  );
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
