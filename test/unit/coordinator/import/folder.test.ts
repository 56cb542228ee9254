import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { openFolder } from '#coordinator/import/folder.ts';
import { collectBytes, concatBytes, utf8ToBytes } from '#shared/crypto/bytes.ts';
import { headerLength, parseSafetensorsHeader } from '#shared/weights/safetensors.ts';
import { describeCheckpoint } from '#test/conformance/checkpoint.ts';
import {
  type FileTensor,
  type FolderChanges,
  SMALL_CONFIG,
  safetensorsFile,
  tensorsOf,
  writeModelFolder,
} from '#test/helpers/model-folder.ts';
import { repositoryPath } from '#test/helpers/repository.ts';
import { tempDir } from '#test/helpers/temp-dir.ts';

const TENSORS = tensorsOf(SMALL_CONFIG);
const WTE = TENSORS.find(({ name }) => name === 'transformer.wte.weight') as FileTensor;
const half = Math.ceil(TENSORS.length / 2);

const parts = (first = TENSORS.slice(0, half), second = TENSORS.slice(half)) => ({
  'model.safetensors': null,
  'model-00001-of-00002.safetensors': safetensorsFile(first),
  'model-00002-of-00002.safetensors': safetensorsFile(second),
  'model.safetensors.index.json': JSON.stringify({
    metadata: { total_size: 1 },
    weight_map: Object.fromEntries(
      TENSORS.map(({ name }, i) => [name, `model-0000${i < half ? 1 : 2}-of-00002.safetensors`]),
    ),
  }),
});

const folder = async (changes: FolderChanges = {}) =>
  writeModelFolder(join(await tempDir(), 'model'), changes);
const withWeights = (tensors: readonly FileTensor[], pad = 0) =>
  folder({ files: { 'model.safetensors': safetensorsFile(tensors, pad) } });

/** The bytes of every tensor that a folder gives, by name. */
async function contents(dir: string): Promise<Map<string, Uint8Array>> {
  const checkpoint = await openFolder(dir);
  const out = new Map<string, Uint8Array>();
  for (const tensor of checkpoint.tensors) out.set(tensor.name, await collectBytes(tensor.read()));
  await checkpoint.close();
  return out;
}
const EXPECTED = new Map(TENSORS.map(({ name, bytes }) => [name, bytes]));
const refused = async (dir: Promise<string>, expected: { code: string; message?: RegExp }) =>
  assert.rejects(openFolder(await dir), expected);

describe('a folder with one file of weights', () => {
  describeCheckpoint(async () => openFolder(await folder()));
});

describe('a folder with weights in parts', () => {
  describeCheckpoint(async () => openFolder(await folder({ files: parts() })));
});

describe('checkpoints of every family, as transformers writes them', () => {
  const vectors = repositoryPath('test/vectors/models');
  const names = readdirSync(vectors).filter((name) => existsSync(join(vectors, name, 'model.safetensors')));
  for (const name of names)
    it(`${name}: every tensor, byte for byte`, async () => {
      const [config, weights] = ['config.json', 'model.safetensors'].map(
        (file) => new Uint8Array(readFileSync(join(vectors, name, file))),
      );
      assert.ok(config && weights);
      const dir = await folder({ files: { 'config.json': config, 'model.safetensors': weights } });
      const start = 8 + headerLength(weights);
      const { entries } = parseSafetensorsHeader(weights.subarray(8, start));
      const expected = entries.map((entry) => [
        entry.name,
        weights.slice(start + entry.start, start + entry.end),
      ]);
      assert.deepEqual(await contents(dir), new Map(expected as [string, Uint8Array][]));
    });
  it('are there', () => assert.ok(names.length >= 5));
});

describe('openFolder', () => {
  it('gives the bytes as they are stored, from one file or from parts, behind blanks or not', async () => {
    for (const dir of [await folder(), await folder({ files: parts() }), await withWeights(TENSORS, 5)])
      assert.deepEqual(await contents(dir), EXPECTED);
  });

  it('keeps halves as halves', async () => {
    const halves = TENSORS.map((tensor, i) => ({
      ...tensor,
      dtype: i % 2 === 0 ? ('F16' as const) : ('BF16' as const),
      bytes: tensor.bytes.subarray(0, tensor.bytes.length / 2),
    }));
    const checkpoint = await openFolder(await withWeights(halves));
    assert.deepEqual(new Set(checkpoint.tensors.map(({ dtype }) => dtype)), new Set(['F16', 'BF16']));
    await checkpoint.close();
  });

  it('finds tensors that were saved without the prefix, and passes over buffers of any dtype', async () => {
    const bare = TENSORS.map((tensor) => ({ ...tensor, name: tensor.name.replace('transformer.', '') }));
    const file = safetensorsFile(bare);
    const start = 8 + Number(new DataView(file.buffer).getBigUint64(0, true));
    const header = JSON.parse(new TextDecoder().decode(file.subarray(8, start)));
    const end = file.length - start;
    header['h.0.attn.bias'] = { dtype: 'BOOL', shape: [1, 1, 4, 4], data_offsets: [end, end + 16] };
    header['h.0.attn.masked_bias'] = { dtype: 'F32', shape: [], data_offsets: [end + 16, end + 20] };
    const json = utf8ToBytes(JSON.stringify(header));
    const length = new Uint8Array(8);
    new DataView(length.buffer).setBigUint64(0, BigInt(json.length), true);
    const weights = concatBytes(length, json, file.subarray(start), new Uint8Array(20));
    assert.deepEqual(await contents(await folder({ files: { 'model.safetensors': weights } })), EXPECTED);
  });

  it('leaves out a head that is tied and equal, and refuses one that differs', async () => {
    const head = { ...WTE, name: 'lm_head.weight' };
    assert.deepEqual(await contents(await withWeights([...TENSORS, head])), EXPECTED);
    const other = { ...head, bytes: head.bytes.map((byte) => byte ^ 1) };
    await refused(withWeights([...TENSORS, other]), {
      code: 'WEIGHTS_NAMES',
      message: /lm_head\.weight differs from transformer\.wte\.weight.*tie_word_embeddings/,
    });
  });

  it('reads the texts beside the weights', async () => {
    const texts = { 'generation_config.json': '{"top_k": 5}', 'tokenizer_config.json': '{"x": 1}' };
    const plain = await openFolder(await folder());
    assert.deepEqual(
      [plain.texts.chatTemplate, plain.texts.tokenizerConfig, plain.texts.generationConfig],
      [null, null, null],
    );
    const full = await openFolder(await folder({ files: { ...texts, 'chat_template.jinja': '{{ a }}' } }));
    assert.equal(full.texts.chatTemplate, '{{ a }}');
    assert.equal(full.texts.tokenizerConfig, '{"x": 1}');
    assert.equal(full.texts.generationConfig, '{"top_k": 5}');
    await Promise.all([plain.close(), full.close()]);
  });

  it('finds the chat template of older folders in tokenizer_config.json', async () => {
    const lists = [
      { name: 'tool_use', template: 'b' },
      { name: 'default', template: 'a' },
    ];
    for (const [value, expected] of [
      ['a', 'a'],
      [lists, 'a'],
      [lists.slice(0, 1), null],
      [7, null],
    ] as const) {
      const files = { 'tokenizer_config.json': JSON.stringify({ chat_template: value }) };
      const { texts, close } = await openFolder(await folder({ files }));
      assert.equal(texts.chatTemplate, expected);
      await close();
    }
  });

  it('CHECKPOINT: a file is missing, and what to do', async () => {
    const cases: [Record<string, string | null>, RegExp][] = [
      [{ 'config.json': null }, /no config\.json: expected a Hugging Face model folder$/],
      [{ 'config.json': null, 'x.gguf': '' }, /name a GGUF file itself: .*x\.gguf/],
      [{ 'tokenizer.json': null }, /no tokenizer\.json.*save_pretrained/],
      [{ 'model.safetensors': null }, /no model\.safetensors/],
      [{ 'model.safetensors': null, 'pytorch_model.bin': 'x' }, /pytorch_model\.bin.*save_pretrained/],
    ];
    for (const [files, message] of cases) await refused(folder({ files }), { code: 'CHECKPOINT', message });
  });

  it('CHECKPOINT: an index that names no file of this folder', async () => {
    const maps = [
      [],
      'x',
      {},
      { a: '../model.safetensors' },
      { a: '/etc/x.safetensors' },
      { a: 7 },
      { a: 'x.bin' },
    ];
    for (const weight_map of maps) {
      const files = { ...parts(), 'model.safetensors.index.json': JSON.stringify({ weight_map }) };
      await refused(folder({ files }), { code: 'CHECKPOINT', message: /index\.json/ });
    }
    for (const text of ['', '[]', '{', 'null'])
      await refused(folder({ files: { ...parts(), 'model.safetensors.index.json': text } }), {
        code: 'CHECKPOINT',
      });
    await refused(folder({ files: { ...parts(), 'model-00002-of-00002.safetensors': null } }), {
      code: 'CHECKPOINT',
      message: /model-00002-of-00002\.safetensors cannot be read \(ENOENT\)/,
    });
  });

  it('WEIGHTS_NAMES: missing and unknown tensors, with names and counts', async () => {
    await refused(withWeights(TENSORS.slice(2)), {
      code: 'WEIGHTS_NAMES',
      message:
        /2 of 16 tensors are missing: transformer\.h\.0\.attn\.c_attn\.bias, transformer\.h\.0\.attn\.c_attn\.weight/,
    });
    const extra = { ...WTE, name: 'score.weight' };
    await refused(withWeights([...TENSORS, extra]), {
      code: 'WEIGHTS_NAMES',
      message: /1 are not of this model: score\.weight/,
    });
    await refused(withWeights([...TENSORS, { ...WTE, name: 'wte.weight' }]), {
      code: 'WEIGHTS_NAMES',
      message: /twice/,
    });
    await refused(folder({ files: parts(TENSORS, TENSORS.slice(half)) }), { code: 'WEIGHTS_NAMES' });
  });

  it('WEIGHTS_SHAPE: a tensor of another shape', async () => {
    const turned = TENSORS.map((t) => (t === WTE ? { ...t, shape: [...t.shape].reverse() } : t));
    await refused(withWeights(turned), {
      code: 'WEIGHTS_SHAPE',
      message: /1 have another shape: transformer\.wte\.weight \(\[12, 300\] for \[300, 12\]\)/,
    });
  });

  it('refuses damaged weights before reading them, and names the file', async () => {
    const file = safetensorsFile(TENSORS);
    const huge = file.slice();
    new DataView(huge.buffer).setBigUint64(0, 2n ** 56n, true);
    const foreign = safetensorsFile([...TENSORS, { ...WTE, name: 'x' }]);
    const dtype = new TextDecoder('latin1').decode(foreign).replace('"F32"', '"F64"');
    const cases: [string, Uint8Array][] = [
      ['WEIGHTS_TRUNCATED', new Uint8Array(0)],
      ['WEIGHTS_TRUNCATED', file.slice(0, 7)],
      ['WEIGHTS_TRUNCATED', file.slice(0, 100)],
      ['WEIGHTS_TRUNCATED', file.slice(0, -1)],
      ['WEIGHTS_HEADER', concatBytes(file, new Uint8Array(1))],
      ['WEIGHTS_HEADER', huge],
      ['WEIGHTS_DTYPE', Uint8Array.from(dtype, (c) => c.charCodeAt(0))],
    ];
    for (const [code, bytes] of cases)
      await refused(folder({ files: { 'model.safetensors': bytes } }), {
        code,
        message: /model\.safetensors/,
      });
  });

  it('CHECKPOINT: texts that are no UTF-8, too large, or no object', async () => {
    await refused(folder({ files: { 'config.json': Uint8Array.of(0xff, 0xfe) } }), { code: 'CHECKPOINT' });
    await refused(folder({ files: { 'config.json': ' '.repeat(1024 * 1024 + 1) } }), { code: 'CHECKPOINT' });
    await refused(folder({ files: { 'tokenizer_config.json': '[]' } }), { code: 'CHECKPOINT' });
    await refused(folder({ files: { 'config.json': '{"model_type":"bert"}' } }), {
      code: 'CONFIG_UNSUPPORTED',
    });
    const dir = await folder({ files: { 'model.safetensors': null } });
    await mkdir(join(dir, 'model.safetensors'));
    await refused(Promise.resolve(dir), { code: 'CHECKPOINT' });
    await writeFile(join(dir, 'config.json'), '');
    await refused(Promise.resolve(dir), { code: 'CONFIG_UNSUPPORTED' });
  });
});
