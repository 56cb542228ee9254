import assert from 'node:assert/strict';
import { test } from 'node:test';
import { encodeManifest } from '#shared/block/manifest.ts';
import { manifestChanges, manifestFields, withFields } from '#shared/block/manifest-text.ts';
import { toHex } from '#shared/crypto/bytes.ts';
import { META } from '#test/helpers/forge.ts';

const { manifest } = META;

test('the small fields as text and back are the same manifest, to the byte', () => {
  const text = JSON.stringify(manifestFields(manifest));
  assert.ok(!text.includes('"tokenizer"') && !text.includes('"shards"'));
  assert.deepEqual(encodeManifest(withFields(manifest, JSON.parse(text))), encodeManifest(manifest));
});

test('objects are merged, everything else is replaced, null takes an optional field away', () => {
  const changed = withFields(manifest, {
    gate: { delta_micro_nats: 5, early: { looks: [2], hopeless_z_milli: 4_000 } },
    reward: { units: '18446744073709551615n' },
    pool_key: `0x${toHex(manifest.governors.keys[0] as Uint8Array)}`,
  });
  assert.deepEqual(changed.gate, {
    ...manifest.gate,
    delta_micro_nats: 5,
    early: { looks: [2], hopeless_z_milli: 4_000 },
  });
  assert.equal(changed.reward.units, 2n ** 64n - 1n);
  assert.deepEqual(changed.reward.split_bp, manifest.reward.split_bp);
  assert.deepEqual(changed.pool_key, manifest.governors.keys[0]);
  assert.equal(
    manifestFields(changed).reward &&
      JSON.stringify(manifestFields(changed)).includes('"18446744073709551615n"'),
    true,
  );
  assert.equal(withFields(changed, { gate: { early: null } }).gate.early, undefined);
});

test('changes name their path, large texts their length', () => {
  const after = { ...withFields(manifest, { gate: { z_milli: 1 }, rules: [] }), chat_template: 'four' };
  assert.deepEqual(manifestChanges(manifest, after), [
    { path: 'rules', before: manifestFields(manifest).rules, after: [] },
    { path: 'gate.z_milli', before: manifest.gate.z_milli, after: 1 },
    {
      path: 'chat_template',
      before: `${manifest.chat_template.length} characters`,
      after: '4 characters',
    },
  ]);
  assert.deepEqual(manifestChanges(manifest, manifest), []);
});

test('BLOCK_ENCODING: what makes it no manifest', () => {
  const bad = [
    { unknown: 1 },
    { gate: { z_milli: -1 } },
    { gate: { z_milli: 0.5 } },
    { gate: 5 },
    { gate: null },
    { reward: { units: '5' } },
    { governors: { threshold: 9 } },
    { pool_key: '0x00' },
    JSON.parse('{"__proto__": {"name": "x"}}'),
  ];
  for (const changes of bad)
    assert.throws(() => withFields(manifest, changes), { code: 'BLOCK_ENCODING' }, JSON.stringify(changes));
});

test('OPTION: whole files are not fields', () => {
  for (const name of ['config', 'tokenizer', 'chat_template'])
    assert.throws(() => withFields(manifest, { [name]: '' }), { code: 'OPTION' });
});
