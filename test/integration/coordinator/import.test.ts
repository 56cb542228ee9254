import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { Chain } from '#coordinator/chain/chain.ts';
import { initChain } from '#coordinator/chain/init.ts';
import { openFolder } from '#coordinator/import/folder.ts';
import { type ContentOptions, contentOf } from '#coordinator/import/genesis-content.ts';
import { builtInText, ownText } from '#coordinator/import/validation-text.ts';
import { type Progress, SILENT, UNWATCHED } from '#coordinator/progress.ts';
import { MemoryKv } from '#coordinator/store/memory-kv.ts';
import { PayloadStore } from '#coordinator/store/payload-store.ts';
import { toHex } from '#shared/crypto/bytes.ts';
import { readValidationSet } from '#shared/pol/validation-set.ts';
import { splitText } from '#shared/text/split-text.ts';
import { Tokenizer } from '#shared/text/tokenizer.ts';
import {
  type FolderChanges,
  SMALL_CONFIG,
  safetensorsFile,
  smallTokenizer,
  tensorsOf,
  writeModelFolder,
} from '#test/helpers/model-folder.ts';
import { tempDir } from '#test/helpers/temp-dir.ts';

const TEXT: ContentOptions = { text: builtInText() };

async function content(changes: FolderChanges = {}, options: ContentOptions = TEXT, watch = UNWATCHED) {
  const checkpoint = await openFolder(await writeModelFolder(join(await tempDir(), 'model'), changes));
  try {
    return await contentOf(checkpoint, options, watch);
  } finally {
    await checkpoint.close();
  }
}

function stores() {
  const kv = new MemoryKv();
  return { kv, payloads: new PayloadStore(kv) };
}

describe('a chain that starts from a checkpoint', () => {
  it('holds the texts byte for byte, the weights by hash, and windows of its own tokenizer', async () => {
    const files = {
      'tokenizer_config.json': '{ "eos_token": "<|endoftext|>" }\n',
      'generation_config.json': '{ "eos_token_id": [0] }',
      'chat_template.jinja': '{{ messages[0].content }}',
    };
    const dir = await writeModelFolder(join(await tempDir(), 'model'), { files });
    const checkpoint = await openFolder(dir);
    const made = await contentOf(checkpoint, { ...TEXT, rules: [{ name: 'a', text: 'b' }] }, UNWATCHED);
    const { kv, payloads } = stores();
    const options = { dataDir: await tempDir(), name: 'mine', dev: false, nowMs: 1_800_000_000_000 };
    const result = await initChain({ kv, payloads }, { ...options, content: made });
    await checkpoint.close();
    const chain = await Chain.open(kv, payloads);
    const { manifest } = chain.meta;
    assert.equal(result.blocks, 16);
    assert.equal(manifest.config, JSON.stringify(SMALL_CONFIG));
    assert.equal(manifest.tokenizer, smallTokenizer());
    assert.equal(manifest.tokenizer_config, files['tokenizer_config.json']);
    assert.equal(manifest.generation_config, files['generation_config.json']);
    assert.equal(manifest.chat_template, files['chat_template.jinja']);
    assert.deepEqual(manifest.rules, [{ name: 'a', text: 'b' }]);
    assert.equal(manifest.validation.context, SMALL_CONFIG.n_positions);
    const windows = readValidationSet(manifest);
    const text = Tokenizer.fromJson(manifest.tokenizer).decode([...(windows[0] as Uint32Array)]);
    assert.ok(TEXT.text.public[0]?.startsWith(text.trim()), text);
    for (const { name, bytes } of tensorsOf(SMALL_CONFIG)) {
      const hash = createHash('sha256').update(bytes).digest('hex');
      assert.equal(toHex(chain.sealed.tensors.get(name)?.payloadHash as Uint8Array), hash, name);
      assert.equal(await payloads.size(Buffer.from(hash, 'hex')), bytes.length);
    }
  });

  it('has a template that lets the model go on where it has none of its own, and says so', async () => {
    const notes: string[] = [];
    const progress: Progress = { ...SILENT, note: (text) => notes.push(text) };
    const made = await content({}, TEXT, { ...UNWATCHED, progress });
    assert.match(made.chatTemplate, /message\['content'\]/);
    assert.match(notes.join(), /no chat template/);
    assert.ok(!('tokenizerConfigJson' in made));
  });

  it('takes vocabularies beyond 16 bits', async () => {
    const made = await content({ config: { ...SMALL_CONFIG, vocab_size: 130_000, n_embd: 2 } });
    const [shard] = made.publicShards;
    assert.equal(shard?.[5], 4, 'bytes per token');
    assert.ok(made.publicShards.length > 8);
  });

  it('is not there before the last batch; a second try goes on with what was stored', async () => {
    const dir = await writeModelFolder(join(await tempDir(), 'model'));
    const checkpoint = await openFolder(dir);
    const made = await contentOf(checkpoint, TEXT, UNWATCHED);
    const { kv, payloads } = stores();
    const options = { dataDir: await tempDir(), name: 'mine', dev: false, nowMs: 1, content: made };
    const stop = new AbortController();
    let bytes = 0;
    const progress: Progress = {
      ...SILENT,
      add: (count) => {
        bytes += count;
        if (bytes > 3_000) stop.abort(new Error('stopped'));
      },
    };
    await assert.rejects(initChain({ kv, payloads }, options, { signal: stop.signal, progress }), /stopped/);
    assert.equal(await Chain.exists(kv), false);
    const notes: string[] = [];
    await initChain({ kv, payloads }, options, {
      ...UNWATCHED,
      progress: { ...SILENT, note: (text) => notes.push(text) },
    });
    await checkpoint.close();
    const stored = Number(/^(\d+) of 16 tensors stood in the store already/.exec(notes.join())?.[1]);
    assert.ok(stored > 0 && stored < 16, notes.join());
    assert.equal((await Chain.open(kv, payloads)).height('B'), 15);
  });

  it('does not take tensors of equal bytes for what an earlier try has left', async () => {
    const same = tensorsOf(SMALL_CONFIG).map((tensor) => ({ ...tensor, bytes: tensor.bytes.map(() => 0) }));
    const made = await content({ files: { 'model.safetensors': safetensorsFile(same) } });
    const notes: string[] = [];
    const progress: Progress = { ...SILENT, note: (text) => notes.push(text) };
    const tensors = made.tensors.map((tensor, i) => ({
      ...tensor,
      read: () => [same[i]?.bytes as Uint8Array],
    }));
    const options = { dataDir: await tempDir(), name: 'mine', dev: false, nowMs: 1 };
    await initChain(stores(), { ...options, content: { ...made, tensors } }, { ...UNWATCHED, progress });
    assert.deepEqual(notes, []);
  });

  it('WEIGHTS_NOT_FINITE: the place of the first NaN', async () => {
    const tensors = tensorsOf(SMALL_CONFIG).map((tensor) => ({ ...tensor, bytes: tensor.bytes.slice() }));
    const fourth = tensors[3] as (typeof tensors)[number];
    new DataView(fourth.bytes.buffer).setFloat32(8, Number.NaN, true);
    await assert.rejects(content({ files: { 'model.safetensors': safetensorsFile(tensors) } }), {
      code: 'WEIGHTS_NOT_FINITE',
      message: `${fourth.name}: element 2 is NaN or infinite`,
    });
  });

  it('TOKENIZER: of another model, or broken', async () => {
    await assert.rejects(content({ config: { ...SMALL_CONFIG, vocab_size: 299 } }), {
      code: 'TOKENIZER',
      message: /300 tokens, the model only 299/,
    });
    await assert.rejects(content({ files: { 'tokenizer.json': '{"model":{"vocab":{}}}' } }), {
      code: 'TOKENIZER',
    });
  });

  it('OPTION: windows beyond the context, or too few of them', async () => {
    await assert.rejects(content({}, { ...TEXT, window: 65 }), { code: 'OPTION', message: /context of 64/ });
    const short = { public: ['the sea '.repeat(200)], heldOut: ['the whale '.repeat(200)] };
    await assert.rejects(content({}, { text: short }), {
      code: 'OPTION',
      message: /gives \d+ public windows of 64 tokens.*--validation-text.*--window/,
    });
  });
});

describe('a validation text of one’s own', () => {
  it('is public and held out in turn, cut where paragraphs end', async () => {
    const paragraph = `${'Call me Ishmael. '.repeat(60)}\r\n\r\n`;
    const path = join(await tempDir(), 'text.txt');
    await writeFile(path, paragraph.repeat(40));
    const { public: open, heldOut } = await ownText(path);
    assert.ok(open.length >= 2 && Math.abs(open.length - heldOut.length) <= 1);
    for (const part of [...open, ...heldOut]) assert.match(part, /^Call me[\s\S]*Ishmael\.$/);
    const letters = (texts: readonly string[]) => texts.join('').replaceAll(/\s/g, '').length;
    assert.equal(letters([...open, ...heldOut]), letters([paragraph.repeat(40)]));
  });

  it('is cut anywhere where it has no blanks, but never within a character', () => {
    for (const text of ['x'.repeat(30_000), `a${'🐋'.repeat(20_000)}`, 'y'.repeat(8_192)]) {
      const parts = splitText(text);
      assert.equal(parts.join(''), text);
      for (const part of parts) assert.ok(!/\p{Surrogate}/u.test(part));
    }
    assert.deepEqual(splitText(' \n '), []);
  });

  it('OPTION: too short, no text, or not there', async () => {
    const path = join(await tempDir(), 'text.txt');
    await assert.rejects(ownText(path), { code: 'OPTION', message: /ENOENT/ });
    await writeFile(path, 'short');
    await assert.rejects(ownText(path), { code: 'OPTION', message: /held out/ });
    await writeFile(path, Uint8Array.of(0xff, 0x00));
    await assert.rejects(ownText(path), { code: 'OPTION', message: /not UTF-8/ });
    for (const endless of ['/dev/zero', await tempDir()])
      await assert.rejects(ownText(endless), { code: 'OPTION', message: /expected a file/ });
  });
});
