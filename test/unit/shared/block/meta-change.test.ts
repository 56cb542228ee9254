import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Manifest } from '#shared/block/manifest.ts';
import { checkMetaChange } from '#shared/block/meta-change.ts';
import { META } from '#test/helpers/forge.ts';

const { manifest } = META;

const ALLOWED: Record<string, Partial<Manifest>> = {
  name: { name: 'another name' },
  rules: { rules: [{ name: 'honesty', text: 'Do not make things up.' }] },
  'chat template': { chat_template: '{{ messages[0].content }}' },
  'generation settings': { generation_config: '{"temperature":0.7}' },
  gate: { gate: { ...manifest.gate, delta_micro_nats: 1 } },
  quorum: { quorum: { attestations: 3, tolerance_micro_nats: 20 } },
  pow: { pow: { bits: 0x1f00ffff } },
  reward: { reward: { ...manifest.reward, units: 1n, vesting_bp: 5_000 } },
  fees: { fees: { chat_token_units: 10n } },
  'pool key': { pool_key: manifest.governors.keys[0] as Uint8Array },
  governors: { governors: { threshold: 1, keys: [manifest.pool_key] } },
};
for (const [what, change] of Object.entries(ALLOWED))
  test(`${what} may change`, () => checkMetaChange(manifest, { ...manifest, ...change }));

const REFUSED: Record<string, Partial<Manifest>> = {
  config: { config: manifest.config.replace('}', ' }') },
  tokenizer: { tokenizer: '[]' },
  tokenizer_config: { tokenizer_config: '{}' },
  runtime: { runtime: 'aiblock/2' },
  unsafe_keys: { unsafe_keys: !manifest.unsafe_keys },
};
for (const [what, change] of Object.entries(REFUSED))
  test(`META_CHANGE: another ${what}`, () => {
    assert.throws(() => checkMetaChange(manifest, { ...manifest, ...change }), { code: 'META_CHANGE' });
  });
