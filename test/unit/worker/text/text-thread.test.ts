import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import { toTokenizerJson, trainBpe } from '#shared/text/bpe-trainer.ts';
import { Tokenizer } from '#shared/text/tokenizer.ts';
import { TEXT_THREAD_DEFAULTS, TextThread } from '#worker/text/text-thread.ts';
import type { ModelTexts } from '#worker/text/text-work.ts';

const json = toTokenizerJson(trainBpe(['the whale, the white whale'], 280));
const GOOD: ModelTexts = {
  tokenizer: json,
  tokenizerConfig: '{"bos_token":"<|endoftext|>"}',
  chatTemplate: '{{ bos_token }}{% for m in messages %}{{ m.role }}: {{ m.content }};{% endfor %}',
};
const HELLO = [{ role: 'user', content: 'hello' }];
const OPTIONS = { ...TEXT_THREAD_DEFAULTS, workMs: 700, heapMiB: 64 };

describe('TextThread', () => {
  const threads: TextThread[] = [];
  const open = (texts: Partial<ModelTexts> = {}, options = OPTIONS) => {
    const thread = new TextThread({ ...GOOD, ...texts }, options);
    threads.push(thread);
    return thread;
  };
  after(() => Promise.all(threads.map((thread) => thread.close())));
  const tokenizerWith = (parts: object) => JSON.stringify({ ...JSON.parse(json), ...parts });

  it('encodes, decodes and renders as the tokenizer itself does', async () => {
    const thread = open();
    const tokenizer = Tokenizer.fromJson(json);
    assert.deepEqual(await thread.facts(), { vocabSize: tokenizer.vocabSize, endOfText: 0, special: [0] });
    const ids = await thread.encode('the white whale', { addSpecial: false });
    assert.deepEqual(ids, tokenizer.encode('the white whale'));
    assert.equal(await thread.decode(ids), 'the white whale');
    assert.equal(await thread.render(HELLO), '<|endoftext|>user: hello;');
  });

  it('adds the tokens of the file’s post-processor where it is asked to', async () => {
    const single = [
      { SpecialToken: { id: '<|endoftext|>', type_id: 0 } },
      { Sequence: { id: 'A', type_id: 0 } },
    ];
    const special_tokens = { '<|endoftext|>': { id: '<|endoftext|>', ids: [0], tokens: ['<|endoftext|>'] } };
    const post_processor = { type: 'TemplateProcessing', single, pair: [], special_tokens };
    const thread = open({ tokenizer: tokenizerWith({ post_processor }) });
    const bare = Tokenizer.fromJson(json).encode('whale');
    assert.deepEqual(await thread.encode('whale', { addSpecial: true }), [0, ...bare]);
    assert.deepEqual(await thread.encode('whale', { addSpecial: false }), bare);
  });

  it('CHAT_TEMPLATE: a template that loops without end, nests too deep, grows without end or refuses', async () => {
    const loops = '{% for i in range(3000) %}'.repeat(3) + '{% endfor %}'.repeat(3);
    const hostile: Record<string, string> = {
      loops,
      nested: `${'('.repeat(20_000)}1${')'.repeat(20_000)}`,
      blocks: `${'{% if true %}'.repeat(20_000)}x${'{% endif %}'.repeat(20_000)}`,
      memory: '{% for i in range(100000) %}{% for j in range(100000) %}{{ i }}{% endfor %}{% endfor %}',
      doubling:
        '{% set ns = namespace(x="aaaaaaaaaa") %}{% for i in range(60) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}{{ ns.x }}',
      range: '{{ range(900000000) }}',
      refusing: '{{ raise_exception("roles must\u001b[31m alternate") }}',
      broken: '{% for %}',
      none: '',
      long: 'a'.repeat(1_000_000),
    };
    for (const [name, chatTemplate] of Object.entries(hostile)) {
      const thread = open({ chatTemplate: name === 'nested' ? `{{ ${chatTemplate} }}` : chatTemplate });
      await thread.facts();
      const startedMs = performance.now();
      await assert.rejects(
        thread.render(HELLO),
        (error: { code: string; message: string }) =>
          error.code === 'CHAT_TEMPLATE' && !error.message.includes('\u001b'),
        name,
      );
      assert.ok(performance.now() - startedMs < 3_000, name);
      await thread.close();
    }
  });

  it('TOKENIZER: a pattern that backtracks without end is stopped, and the next text is encoded again', async () => {
    const pre_tokenizer = {
      type: 'Split',
      pattern: { Regex: '(a+)+$' },
      behavior: 'Isolated',
      invert: false,
    };
    const thread = open({ tokenizer: tokenizerWith({ pre_tokenizer }) });
    const stall = thread.encode(`${'a'.repeat(60)}b`, { addSpecial: false });
    const behind = thread.encode('a', { addSpecial: false });
    await assert.rejects(stall, { code: 'TOKENIZER', message: /took longer than 700 ms/ });
    assert.equal((await behind).length, 1);
  });

  it('TOKENIZER: files that are none, and tokens that stand for a flood of text', async () => {
    for (const tokenizer of ['{', '{}', '['.repeat(20_000)])
      await assert.rejects(open({ tokenizer }).facts(), { code: 'TOKENIZER' });
    const flood = { model: { type: 'BPE', vocab: { ['x'.repeat(20_000)]: 0 }, merges: [] } };
    await assert.rejects(open({ tokenizer: JSON.stringify(flood) }).decode([0]), { code: 'TOKENIZER' });
  });

  it('UNAVAILABLE: once it is closed', async () => {
    const thread = open();
    await thread.facts();
    const running = thread.encode('x', { addSpecial: false });
    const late = thread.encode('y', { addSpecial: false });
    late.catch(() => {});
    await thread.close();
    await assert.rejects(late, { code: 'UNAVAILABLE' });
    await running.catch((error) => assert.equal(error.code, 'UNAVAILABLE'));
    await assert.rejects(thread.render(HELLO), { code: 'UNAVAILABLE' });
  });
});
