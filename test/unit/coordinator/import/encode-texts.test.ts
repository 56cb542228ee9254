import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { encodeTexts } from '#coordinator/import/encode-texts.ts';
import { Tokenizer } from '#shared/text/tokenizer.ts';
import { smallTokenizer } from '#test/helpers/model-folder.ts';

const { signal } = new AbortController();
const TOKENIZER = { tokenizer: smallTokenizer(), tokenizerConfig: null };

/** The small tokenizer with a pattern that tries all ways to cut a run of letters. */
function endless() {
  const json = JSON.parse(smallTokenizer());
  json.pre_tokenizer = { type: 'Split', pattern: { Regex: '(a+)+!' }, behavior: 'Isolated', invert: false };
  return { tokenizer: JSON.stringify(json), tokenizerConfig: null };
}

describe('encodeTexts', () => {
  it('gives the tokens of each text, its documents one after another', async () => {
    const { tokens, vocabSize } = await encodeTexts(TOKENIZER, [['the sea', 'the whale'], ['a']], { signal });
    const tokenizer = Tokenizer.fromJson(TOKENIZER.tokenizer);
    const end = tokenizer.endOfText as number;
    assert.deepEqual(
      tokens.map((ids) => [...ids]),
      [
        [...tokenizer.encode('the sea'), end, ...tokenizer.encode('the whale'), end],
        [...tokenizer.encode('a'), end],
      ],
    );
    assert.equal(vocabSize, 300);
  });

  it('ends documents as tokenizer_config.json says', async () => {
    const tokenizerConfig = JSON.stringify({ eos_token: 'e' });
    const { tokens } = await encodeTexts({ ...TOKENIZER, tokenizerConfig }, [['a']], { signal });
    const tokenizer = Tokenizer.fromJson(TOKENIZER.tokenizer);
    assert.deepEqual([...(tokens[0] ?? [])], [...tokenizer.encode('a'), tokenizer.tokenToId('e')]);
  });

  it('TOKENIZER: one that never ends is stopped', async () => {
    const from = Date.now();
    await assert.rejects(encodeTexts(endless(), [['a'.repeat(60)]], { signal, deadlineMs: 1_500 }), {
      code: 'TOKENIZER',
      message: /not done after 1\.5 s/,
    });
    assert.ok(Date.now() - from < 20_000);
  });

  it('stops at the signal', async () => {
    const stop = new AbortController();
    const encoding = encodeTexts(endless(), [['a'.repeat(60)]], { signal: stop.signal });
    setTimeout(() => stop.abort(new Error('stopped')), 300);
    await assert.rejects(encoding, /stopped/);
  });

  it('TOKENIZER: broken files keep their own refusals', async () => {
    for (const tokenizer of ['', '{}', '{"model":{"vocab":{"a":-1}}}'])
      await assert.rejects(encodeTexts({ tokenizer, tokenizerConfig: null }, [['a']], { signal }), {
        code: 'TOKENIZER',
      });
  });
});
