import assert from 'node:assert/strict';
import { test } from 'node:test';
import { sha256 } from '@noble/hashes/sha2.js';
import { type CborValue, encodeCbor } from '#shared/block/cbor.ts';
import { decodeManifest, encodeManifest, type Manifest } from '#shared/block/manifest.ts';
import { flipBit, readVectors } from '#test/helpers/vectors.ts';

interface Case {
  value: Manifest;
  bytes: Uint8Array;
  hash: Uint8Array;
}
const manifests = readVectors<{ manifests: Case[] }>('manifest').manifests.map((c) => ({
  ...c,
  value: {
    ...c.value,
    reward: bigReward(c.value.reward),
    fees: { chat_token_units: BigInt(c.value.fees.chat_token_units) },
  },
}));
const { value, bytes } = manifests[0]!;

/** Small numbers stand in the vectors as such. */
function bigReward({ schedule, ...reward }: Manifest['reward']): Manifest['reward'] {
  const { min_payout_units: minimum } = reward;
  const supply = schedule?.supply_units;
  return {
    ...{ ...reward, units: BigInt(reward.units) },
    ...(minimum !== undefined && { min_payout_units: BigInt(minimum) }),
    ...(schedule && {
      schedule: { ...schedule, ...(supply !== undefined && { supply_units: BigInt(supply) }) },
    }),
  };
}

test('manifests are those of the vectors, both ways', () => {
  for (const m of manifests) {
    assert.deepEqual(encodeManifest(m.value), m.bytes);
    assert.deepEqual(decodeManifest(m.bytes), m.value);
    assert.deepEqual(sha256(m.bytes), m.hash);
  }
});

test('every changed bit is refused or read as another manifest', () => {
  for (let bit = 0; bit < bytes.length * 8; bit += 5) {
    const bad = flipBit(bytes, bit);
    try {
      const decoded = decodeManifest(bad);
      assert.deepEqual(encodeManifest(decoded), bad, `bit ${bit}`);
      assert.notDeepEqual(decoded, value, `bit ${bit}`);
    } catch (error) {
      assert.equal((error as { code?: string }).code, 'BLOCK_ENCODING', `bit ${bit}: ${error}`);
    }
  }
});

test('the texts that only some models have: there or not, and never of another type', () => {
  const more = { ...value, tokenizer_config: '{"eos_token": "</s>"}', generation_config: '{}' };
  assert.deepEqual(decodeManifest(encodeManifest(more)), more);
  for (const text of [null, 1, new Uint8Array(2)])
    for (const key of ['tokenizer_config', 'generation_config']) {
      const bad = encodeCbor({ ...value, [key]: text } as unknown as CborValue);
      assert.throws(() => decodeManifest(bad), { code: 'BLOCK_ENCODING' });
    }
});

const retarget = { aim_ms: 1, window_blocks: 1, clamp: 2, easiest_bits: 0x207fffff };
const schedule = { gain_micro_nats: 40_000, least_bp: 2_500, most_bp: 20_000 };
const { reward, gate, governors, validation, quorum } = value;
const key = governors.keys[0] as Uint8Array;
const heldOut = (epoch: object) => ({ ...validation.held_out, epoch });
test('rewards may vest where epochs end', () => {
  const changed = {
    validation: { ...validation, held_out: heldOut({ seals: 1, shards: 9 }) },
    reward: { ...reward, vesting_bp: 10_000 },
  };
  const manifest = decodeManifest(encodeCbor({ ...value, ...changed } as unknown as CborValue));
  assert.deepEqual(manifest.validation.held_out.epoch, { seals: 1, shards: 9 });
});

const refused: [string, object][] = [
  ['another version', { v: 2 }],
  ['no name', { name: '' }],
  ['a name of 101 letters', { name: 'x'.repeat(101) }],
  ['an unknown key', { extra: 1 }],
  ['a split of 9,999', { reward: { ...reward, split_bp: { ...reward.split_bp, pool: 499 } } }],
  ['a split of 10,001', { reward: { ...reward, split_bp: { ...reward.split_bp, pool: 501 } } }],
  ['a reward below zero', { reward: { ...reward, units: -1 } }],
  ['more than all vesting', { reward: { ...reward, vesting_bp: 10_001 } }],
  ['vesting rewards without an epoch', { reward: { ...reward, vesting_bp: 1 } }],
  ['an epoch of no seals', { validation: { ...validation, held_out: heldOut({ seals: 0, shards: 1 }) } }],
  ['an epoch of no shards', { validation: { ...validation, held_out: heldOut({ seals: 1, shards: 0 }) } }],
  [
    'an epoch without windows',
    { validation: { ...validation, held_out: { ...heldOut({ seals: 1, shards: 1 }), windows: 0 } } },
  ],
  ['an empty window of work', { reward: { ...reward, window_units: 0 } }],
  ['an unknown scheme', { reward: { ...reward, scheme: 'pps' } }],
  ['a minimum payout below zero', { reward: { ...reward, min_payout_units: -1 } }],
  ['no usual gain', { reward: { ...reward, schedule: { ...schedule, gain_micro_nats: 0 } } }],
  ['a least reward above the most', { reward: { ...reward, schedule: { ...schedule, least_bp: 20_001 } } }],
  ['a halving without a pause', { reward: { ...reward, schedule: { ...schedule, halving_seals: 0 } } }],
  ['a supply below zero', { reward: { ...reward, schedule: { ...schedule, supply_units: -1 } } }],
  ['a reward of over 64 bits', { reward: { ...reward, schedule, units: 2n ** 63n } }],
  ['a gate of one window', { gate: { ...gate, windows: 1 } }],
  ['a gate of more windows than there are', { gate: { ...gate, windows: validation.windows + 1 } }],
  ['a δ below zero', { gate: { ...gate, delta_micro_nats: -1 } }],
  ['no attestation', { quorum: { ...quorum, attestations: 0 } }],
  ['bits of a negative target', { pow: { bits: 0x1e80_0000 } }],
  ['bits that are not the shortest form', { pow: { bits: 0x2000_00ff } }],
  ['bits of zero', { pow: { bits: 0 } }],
  ['bits of 33 bits', { pow: { bits: 2 ** 32 } }],
  ['a retarget of no time', { pow: { bits: 0x1e00ffff, retarget: { ...retarget, aim_ms: 0 } } }],
  ['a retarget of no blocks', { pow: { bits: 0x1e00ffff, retarget: { ...retarget, window_blocks: 0 } } }],
  ['a retarget without way', { pow: { bits: 0x1e00ffff, retarget: { ...retarget, clamp: 1 } } }],
  ['a retarget to no target', { pow: { bits: 0x1e00ffff, retarget: { ...retarget, easiest_bits: 0 } } }],
  ['a threshold of zero', { governors: { ...governors, threshold: 0 } }],
  ['more signatures than governors', { governors: { ...governors, threshold: 4 } }],
  ['no governors', { governors: { threshold: 1, keys: [] } }],
  ['one governor twice', { governors: { threshold: 2, keys: [key, key] } }],
  ['a governor off the curve', { governors: { threshold: 1, keys: [key, new Uint8Array(33)] } }],
  ['a pool key off the curve', { pool_key: new Uint8Array(33) }],
  ['a context of zero', { validation: { ...validation, context: 0 } }],
  ['shards of text', { validation: { ...validation, shards: ['x'] } }],
];
for (const [what, change] of refused) {
  test(`BLOCK_ENCODING: a manifest with ${what}`, () => {
    const bad = encodeCbor({ ...value, ...change } as unknown as CborValue);
    assert.throws(() => decodeManifest(bad), { code: 'BLOCK_ENCODING' });
  });
}
