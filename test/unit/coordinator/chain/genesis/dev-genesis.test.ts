import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { devGenesis } from '#coordinator/chain/genesis/dev-genesis.ts';
import { DEV_MODEL } from '#coordinator/chain/genesis/dev-model.ts';
import { toHex } from '#shared/crypto/bytes.ts';
import { readShards, shardsRoot } from '#shared/pol/windows.ts';
import { Tokenizer } from '#shared/text/tokenizer.ts';
import { firstNonFinite } from '#shared/weights/dtype.ts';
import { parseModelConfig, tensorShapes } from '#shared/weights/model-config.ts';

interface Frozen {
  configSha256: string;
  tokenizerSha256: string;
  chatTemplateSha256: string;
  rulesSha256: string;
  publicShards: { count: number; root: string };
  heldOutShards: { count: number; root: string };
  tensors: Record<string, string>;
}
const frozen = JSON.parse(
  readFileSync(new URL('../../../../vectors/genesis.json', import.meta.url), 'utf8'),
) as Frozen;

const genesis = devGenesis();
const sha256 = (data: string | Uint8Array) => createHash('sha256').update(data).digest('hex');
const windowsOf = (shards: readonly Uint8Array[]) =>
  readShards(shards, { ...DEV_MODEL, shardWindows: genesis.shardWindows });

test('every part of the genesis has its frozen hash', () => {
  const rootOf = (shards: readonly Uint8Array[]) => ({
    count: shards.length,
    root: toHex(shardsRoot(shards)),
  });
  assert.deepEqual(
    {
      configSha256: sha256(genesis.configJson),
      tokenizerSha256: sha256(genesis.tokenizerJson),
      chatTemplateSha256: sha256(genesis.chatTemplate),
      rulesSha256: sha256(JSON.stringify(genesis.rules)),
      publicShards: rootOf(genesis.publicShards),
      heldOutShards: rootOf(genesis.heldOutShards),
      tensors: Object.fromEntries(genesis.tensors.map(({ name, bytes }) => [name, sha256(bytes)])),
    },
    frozen,
  );
});

test('the tensors are those of the configuration, in name order, all finite', () => {
  const config = parseModelConfig(JSON.parse(genesis.configJson));
  assert.deepEqual(
    genesis.tensors.map(({ name, shape }) => [name, shape]),
    [...tensorShapes(config)],
  );
  for (const { shape, bytes, dtype } of genesis.tensors) {
    assert.equal(bytes.length, 4 * shape.reduce((a, b) => a * b, 1));
    assert.equal(firstNonFinite(dtype, bytes), -1);
  }
});

test('the windows decode to prose, and no two are equal', () => {
  const tokenizer = Tokenizer.fromJson(genesis.tokenizerJson);
  const all = [...windowsOf(genesis.publicShards), ...windowsOf(genesis.heldOutShards)];
  assert.deepEqual(
    [windowsOf(genesis.publicShards).length, windowsOf(genesis.heldOutShards).length],
    [265, 280],
  );
  const first = tokenizer.decode([...(all[0] as Uint32Array)]);
  assert.ok(first.startsWith('Returning to the Spouter-Inn from the Chapel, I found Queequeg there'), first);
  assert.equal(new Set(all.map((window) => window.join())).size, all.length);
});

test('the model starts as the tokenizer ends: the same vocabulary, the same last token', () => {
  const tokenizer = Tokenizer.fromJson(genesis.tokenizerJson);
  const config = JSON.parse(genesis.configJson) as { vocab_size: number; eos_token_id: number };
  assert.equal(tokenizer.vocabSize, config.vocab_size);
  assert.equal(tokenizer.endOfText, config.eos_token_id);
});
