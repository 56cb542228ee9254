import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { toTokenizerJson, trainBpe } from '#shared/text/bpe-trainer.ts';
import { Tokenizer } from '#shared/text/tokenizer.ts';
import { loadCorpus } from '#worker/train/corpus.ts';

const json = toTokenizerJson(trainBpe(['the whale'], 260));
const tokenizer = Tokenizer.fromJson(json);
const texts = { tokenizer: json };
let folder = '';
before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'aiblock-corpus-'));
});
after(() => rm(folder, { recursive: true }));

async function fileOf(content: string | Uint8Array): Promise<string> {
  const file = join(folder, 'text.txt');
  await writeFile(file, content);
  return file;
}

test('the training chapters, without those of the validation', async () => {
  const { train, chars, source } = await loadCorpus(texts);
  assert.equal(chars, 998774);
  assert.ok(train instanceof Uint16Array && train.length > 0);
  assert.equal(train.at(-1), tokenizer.endOfText);
  assert.match(source, /Moby Dick/);
  const text = tokenizer.decode([...train.subarray(0, 30)]);
  assert.ok('Call me Ishmael. Some years ago'.startsWith(text.slice(0, 20)), text);
});

test("a file of the miner's own is one document, byte for byte", async () => {
  const file = await fileOf('\ufeffthe  whale\r\n\n');
  const { train, chars } = await loadCorpus(texts, { file });
  assert.deepEqual([...train], [...tokenizer.encode('the  whale\r\n\n'), 0]);
  assert.equal(chars, 13);
});

test('OPTION: a file that is missing, a folder, empty, or not UTF-8', async () => {
  const refused = { code: 'OPTION' };
  await assert.rejects(loadCorpus(texts, { file: join(folder, 'none') }), refused);
  await assert.rejects(loadCorpus(texts, { file: folder }), refused);
  await assert.rejects(loadCorpus(texts, { file: await fileOf('') }), refused);
  await assert.rejects(loadCorpus(texts, { file: await fileOf(Uint8Array.of(0x41, 0xff)) }), refused);
});

test('TOKENIZER: what is none, or cannot be read', async () => {
  const refused = { code: 'TOKENIZER' };
  await assert.rejects(loadCorpus({ tokenizer: '{}' }), refused);
  await assert.rejects(loadCorpus({ ...texts, tokenizerConfig: '[' }), refused);
});
