import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { toTokenizerJson, trainBpe } from '#shared/text/bpe-trainer.ts';
import { StreamDecoder } from '#shared/text/stream-decoder.ts';
import { Tokenizer } from '#shared/text/tokenizer.ts';

const tokenizer = Tokenizer.fromJson(toTokenizerJson(trainBpe(['the whale, the white whale 🐋🐋'], 280)));

/** Without merges every token is one byte. */
const byteTokenizer = Tokenizer.fromJson(toTokenizerJson(trainBpe([], 257)));

async function stream(decoder: StreamDecoder, ids: readonly number[]): Promise<string[]> {
  const pieces: string[] = [];
  for (const id of ids) pieces.push(await decoder.push(id));
  return [...pieces, await decoder.flush()];
}

test('a character of four bytes comes out whole, with its last byte', async () => {
  const ids = byteTokenizer.encode('a🐋b');
  assert.deepEqual(await stream(new StreamDecoder(byteTokenizer), ids), ['a', '', '', '', '🐋', 'b', '']);
});

test('an unfinished character is flushed as U+FFFD, and the decoder is as new', async () => {
  const decoder = new StreamDecoder(byteTokenizer);
  const ids = byteTokenizer.encode('🐋').slice(0, 3);
  assert.deepEqual(await stream(decoder, ids), ['', '', '', '\ufffd']);
  assert.deepEqual(await stream(decoder, byteTokenizer.encode('x')), ['x', '']);
});

test('special tokens give no text and do not break a character', async () => {
  const [a, b, c, d] = byteTokenizer.encode('🐋') as [number, number, number, number];
  assert.deepEqual((await stream(new StreamDecoder(byteTokenizer), [0, a, 0, b, c, 0, d])).join(''), '🐋');
});

test('a real U+FFFD comes out, if only with the next token', async () => {
  const ids = byteTokenizer.encode('\ufffd.');
  assert.deepEqual(await stream(new StreamDecoder(byteTokenizer), ids), ['', '', '', '\ufffd.', '']);
});

test('a leading byte order mark and the blank of a first word are kept', async () => {
  for (const text of ['\ufeffwhale', ' the whale']) {
    assert.equal((await stream(new StreamDecoder(tokenizer), tokenizer.encode(text))).join(''), text);
  }
});

test('TOKENIZER: an id that is none leaves the stream as it was', async () => {
  const decoder = new StreamDecoder(tokenizer);
  await assert.rejects(decoder.push(9999), { code: 'TOKENIZER' });
  assert.equal(await decoder.push(tokenizer.encode('x')[0] as number), 'x');
});

test('property: all pieces are the decoded whole, and no piece holds half a surrogate pair', async () => {
  // Random ids are mostly broken UTF-8; real texts are not.
  const anyIds = (vocabSize: number) =>
    fc.array(fc.integer({ min: 0, max: vocabSize - 1 }), { maxLength: 60 });
  for (const each of [tokenizer, byteTokenizer]) {
    await fc.assert(
      fc.asyncProperty(
        anyIds(each.vocabSize),
        fc.string({ unit: 'binary', maxLength: 40 }),
        async (ids, text) => {
          const all = [...ids, ...each.encode(text), ...ids];
          const pieces = await stream(new StreamDecoder(each), all);
          assert.equal(pieces.join(''), each.decode(all));
          for (const piece of pieces) assert.equal(Buffer.from(piece, 'utf8').toString('utf8'), piece);
        },
      ),
      { numRuns: 300 },
    );
  }
});

test('goes on from the tokens before: a first word loses its blank, a later one does not', async () => {
  const words = ['▁the', '▁whale', '▁🐋'];
  const vocab = Object.fromEntries(words.map((word, id) => [word, id]));
  const stripping = Tokenizer.fromJson(
    JSON.stringify({
      model: { type: 'BPE', vocab, merges: [] },
      decoder: {
        type: 'Sequence',
        decoders: [
          { type: 'Replace', pattern: { String: '▁' }, content: ' ' },
          { type: 'Fuse' },
          { type: 'Strip', content: ' ', start: 1, stop: 0 },
        ],
      },
    }),
  );
  assert.deepEqual(await stream(new StreamDecoder(stripping), [1, 2]), ['whale', ' 🐋', '']);
  assert.deepEqual(await stream(new StreamDecoder(stripping, [0]), [1, 2]), [' whale', ' 🐋', '']);
  assert.deepEqual(await stream(new StreamDecoder(stripping, [0]), []), ['']);
});
