import assert from 'node:assert/strict';
import { lstat, mkdir, readdir, readFile, stat, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { toHex } from '#shared/crypto/bytes.ts';
import { toTokenizerJson, trainBpe } from '#shared/text/bpe-trainer.ts';
import { headerLength, parseSafetensorsHeader } from '#shared/weights/safetensors.ts';
import { CHAIN, changed, META } from '#test/helpers/forge.ts';
import { StoredPoolServer, sha256, vectorPool } from '#test/helpers/stored-pool.ts';
import { tempDir } from '#test/helpers/temp-dir.ts';
import { exportModel } from '#worker/audit/export-model.ts';
import { hubFiles } from '#worker/audit/hub-files.ts';
import { SILENT } from '#worker/audit/progress.ts';
import { HttpSource } from '#worker/audit/source.ts';
import { ApiClient } from '#worker/client/api-client.ts';

const server = await StoredPoolServer.start();
const signal = new AbortController().signal;
const FILES = [
  ...['config.json', 'generation_config.json', 'model.safetensors'],
  ...['tokenizer.json', 'tokenizer_config.json'],
];

function run(dir: string, { force = false, maxFileBytes = 2 ** 40 } = {}) {
  const source = new HttpSource(new ApiClient(server.url), signal);
  return exportModel({ dir, force, maxFileBytes }, { source, progress: SILENT, signal });
}

describe('exportModel', () => {
  it('writes the files of the Meta block and the tensors, byte for byte', async () => {
    server.pool = vectorPool();
    const dir = join(await tempDir(), 'a', 'model');
    const exported = await run(dir);
    assert.deepEqual((await readdir(dir)).sort(), FILES);
    assert.equal(exported.height, CHAIN.blocks.length - 1);
    assert.equal(await readFile(join(dir, 'config.json'), 'utf8'), META.manifest.config);
    assert.equal(await readFile(join(dir, 'tokenizer.json'), 'utf8'), META.manifest.tokenizer);
    const file = new Uint8Array(await readFile(join(dir, 'model.safetensors')));
    const start = 8 + headerLength(file.subarray(0, 8));
    const header = parseSafetensorsHeader(file.subarray(8, start));
    assert.equal(header.metadata.get('format'), 'pt');
    assert.equal(header.metadata.get('aiblock_root'), server.pool.model.root);
    assert.equal(file.length, start + header.dataBytes);
    assert.deepEqual(
      header.entries.map(({ name, start: from, end }) => [
        name,
        sha256(file.subarray(start + from, start + end)),
      ]),
      server.pool.model.tensors.map(({ name, hash }) => [name, hash]).sort(),
    );
    assert.deepEqual(await readdir(join(dir, '..')), ['model']);
  });

  it('cuts large weights into parts, with an index that names the part of each tensor', async () => {
    server.pool = vectorPool();
    const dir = await tempDir();
    await run(dir, { maxFileBytes: 300 });
    const index = JSON.parse(await readFile(join(dir, 'model.safetensors.index.json'), 'utf8'));
    const parts = [...new Set<string>(Object.values(index.weight_map))];
    assert.ok(parts.length > 1);
    assert.deepEqual(
      parts,
      parts.map((_, i) => `model-0000${i + 1}-of-0000${parts.length}.safetensors`),
    );
    const hashes = new Map<string, string>();
    let total = 0;
    for (const part of parts) {
      const file = new Uint8Array(await readFile(join(dir, part)));
      const start = 8 + headerLength(file.subarray(0, 8));
      const { entries, dataBytes } = parseSafetensorsHeader(file.subarray(8, start));
      assert.ok(dataBytes <= 300 || entries.length === 1, `${part}: ${dataBytes}`);
      total += dataBytes;
      for (const { name, start: from, end } of entries) {
        assert.equal(index.weight_map[name], part);
        hashes.set(name, sha256(file.subarray(start + from, start + end)));
      }
    }
    assert.equal(index.metadata.total_size, total);
    assert.deepEqual(hashes, new Map(server.pool.model.tensors.map(({ name, hash }) => [name, hash])));
    await assert.rejects(run(dir, { force: true }), { code: 'OPTION', message: /model-0000.*remove it/ });
  });

  it('OPTION: refuses a folder that is not empty, unless it is told to replace its files', async () => {
    server.pool = vectorPool();
    const dir = await tempDir();
    await writeFile(join(dir, 'mine.txt'), 'mine');
    await writeFile(join(dir, 'config.json'), 'old');
    await assert.rejects(run(dir), { code: 'OPTION', message: /--force/ });
    assert.deepEqual((await readdir(dir)).sort(), ['config.json', 'mine.txt']);
    await run(dir, { force: true });
    assert.deepEqual((await readdir(dir)).sort(), [...FILES, 'mine.txt'].sort());
    assert.equal(await readFile(join(dir, 'mine.txt'), 'utf8'), 'mine');
    assert.equal(await readFile(join(dir, 'config.json'), 'utf8'), META.manifest.config);
    await assert.rejects(run(join(dir, 'mine.txt')), { code: 'OPTION', message: /it is a file/ });
  });

  it('fills a folder that is there where it stands: it may be a link, or a disk of its own', async () => {
    server.pool = vectorPool();
    const parent = await tempDir();
    const dir = join(parent, 'disk');
    await mkdir(dir);
    const { ino } = await stat(dir);
    await symlink(dir, join(parent, 'link'));
    await run(join(parent, 'link'));
    assert.deepEqual((await readdir(dir)).sort(), FILES);
    assert.equal((await stat(dir)).ino, ino);
    assert.ok((await lstat(join(parent, 'link'))).isSymbolicLink());
    assert.deepEqual((await readdir(parent)).sort(), ['disk', 'link']);
  });

  it('leaves nothing behind where a payload or the root is wrong', async () => {
    const parent = await tempDir();
    const dir = join(parent, 'model');
    await mkdir(dir);
    server.pool = vectorPool();
    const [tensor] = server.pool.model.tensors;
    const bytes = server.pool.payloads.get(tensor?.hash ?? '') as Uint8Array;
    server.pool.payloads.set(sha256(bytes), changed(bytes, 0));
    await assert.rejects(run(dir), { code: 'BLOCK_PAYLOAD' });
    server.pool = vectorPool();
    server.pool.model.root = toHex(new Uint8Array(32));
    await assert.rejects(run(dir), { code: 'BLOCK_ROOT' });
    server.pool = vectorPool();
    server.pool.model.meta.hash = toHex(new Uint8Array(32));
    await assert.rejects(run(dir), { code: 'BLOCK_HASH' });
    assert.deepEqual(await readdir(parent), ['model']);
    assert.deepEqual(await readdir(dir), []);
  });
});

describe('hubFiles', () => {
  it('names the special tokens of the configuration by their text', () => {
    const config = JSON.stringify({
      ...JSON.parse(META.manifest.config),
      bos_token_id: 0,
      eos_token_id: [0, 5],
    });
    const tokenizer = toTokenizerJson(trainBpe(['the whale and the sea '.repeat(20)], 262));
    const files = hubFiles({ config, tokenizer, chat_template: '' });
    const tokenizerConfig = JSON.parse(files.get('tokenizer_config.json') ?? '');
    assert.equal(tokenizerConfig.eos_token, '<|endoftext|>');
    assert.equal(tokenizerConfig.bos_token, '<|endoftext|>');
    assert.deepEqual(tokenizerConfig.model_input_names, ['input_ids', 'attention_mask']);
    const generation = JSON.parse(files.get('generation_config.json') ?? '');
    assert.deepEqual(generation, { bos_token_id: 0, eos_token_id: [0, 5], pad_token_id: 0 });
  });

  it('gives back the texts that the model came with, and a chat template only where there is one', () => {
    const texts = { tokenizer_config: '{ "eos_token": "x" }', generation_config: '{"top_k":3}\n' };
    const files = hubFiles({ ...META.manifest, ...texts, chat_template: '{{ messages }}' });
    assert.equal(files.get('tokenizer_config.json'), texts.tokenizer_config);
    assert.equal(files.get('generation_config.json'), texts.generation_config);
    assert.equal(files.get('chat_template.jinja'), '{{ messages }}');
    assert.ok(!hubFiles({ ...META.manifest, chat_template: '' }).has('chat_template.jinja'));
  });

  it('leaves out the text of a token that the tokenizer does not name', () => {
    const config = JSON.stringify({ ...JSON.parse(META.manifest.config), eos_token_id: 7 });
    for (const tokenizer of [
      '{"added_tokens":[null,3,"x"],"model":null}',
      '{"added_tokens":{},"model":{}}',
    ]) {
      const files = hubFiles({ config, tokenizer, chat_template: '' });
      assert.equal(JSON.parse(files.get('tokenizer_config.json') ?? '').eos_token, undefined);
      assert.equal(JSON.parse(files.get('generation_config.json') ?? '').eos_token_id, 7);
    }
  });

  it('BLOCK_PAYLOAD: a tokenizer that is no JSON object', () => {
    for (const tokenizer of ['', '[]', 'null'])
      assert.throws(() => hubFiles({ ...META.manifest, tokenizer }), { code: 'BLOCK_PAYLOAD' });
  });
});
